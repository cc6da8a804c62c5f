//! Where packages and indexes lie: a folder, or below an address on the web. Reading is bounded in bytes and in time.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use regard_host::package::index::INDEX_FILE;
use reqwest::{StatusCode, Url};

/// How long connecting may take: a server that is there answers within a second.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const SILENT_WITHIN: Duration = Duration::from_secs(30);
/// How long one file may take: 70 MB over a slow line.
const FETCH_WITHIN: Duration = Duration::from_secs(600);
/// How often a server may send us elsewhere: a release's download redirects once or twice.
const REDIRECTS_MAX: usize = 5;

/// A folder, here or on the web.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Folder(PathBuf),
    Web { http: reqwest::Client, base: Url },
}

impl Place {
    /// Place and name of a file that somebody named by path or address.
    pub(super) fn of_file(text: &str) -> Result<(Self, String)> {
        if !is_address(text) {
            let path = Path::new(text);
            let name = path.file_name().with_context(|| format!("{text} names no file"))?;
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            return Ok((Self::Folder(folder), name.to_string_lossy().into_owned()));
        }
        let url = Url::parse(text).with_context(|| format!("`{text}` is no address"))?;
        let name = url.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
        ensure!(!name.is_empty(), "`{text}` names no file");
        Ok((Self::web(url.join(".")?)?, name))
    }

    /// Place and name of an index: the address or path of the file, or of the folder that holds it.
    pub(super) fn of_index(text: &str) -> Result<(Self, String)> {
        if text.ends_with(".json") {
            return Self::of_file(text);
        }
        if !is_address(text) {
            return Ok((Self::Folder(PathBuf::from(text)), INDEX_FILE.to_owned()));
        }
        Self::of_file(&format!("{}/{INDEX_FILE}", text.trim_end_matches('/')))
    }

    fn web(base: Url) -> Result<Self> {
        // A second installation of the provider is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_WITHIN)
            .timeout(FETCH_WITHIN)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            // What was asked for under TLS is not answered without.
            .https_only(base.scheme() == "https")
            .user_agent(concat!("regard/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self::Web { http, base })
    }

    /// The path or address of `name` in this place.
    pub(super) fn locate(&self, name: &str) -> Result<String> {
        Ok(match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Web { base, .. } => base.join(name)?.to_string(),
        })
    }

    /// Reads a file of at most `bytes_max` bytes; `None` when there is none of that name.
    pub(super) async fn find(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>> {
        let whole = self.locate(name)?;
        let too_large = || format!("{whole} is longer than the {bytes_max} bytes that are taken");
        match self {
            Self::Folder(folder) => {
                let file = match std::fs::File::open(folder.join(name)) {
                    Ok(file) => file,
                    Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(why) => return Err(why).with_context(|| format!("cannot read {whole}")),
                };
                let mut bytes = Vec::new();
                let read = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
                read.with_context(|| format!("cannot read {whole}"))?;
                ensure!(bytes.len() <= bytes_max, too_large());
                Ok(Some(bytes))
            }
            Self::Web { http, base } => {
                let response = http.get(base.join(name)?).send().await;
                let mut response = response.with_context(|| format!("cannot fetch {whole}"))?;
                match response.status() {
                    StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                    status if !status.is_success() => bail!("{whole} answers {status}"),
                    _ => {}
                }
                let mut bytes = Vec::new();
                while let Some(chunk) =
                    response.chunk().await.with_context(|| format!("{whole} broke off"))?
                {
                    ensure!(bytes.len() + chunk.len() <= bytes_max, too_large());
                    bytes.extend_from_slice(&chunk);
                }
                Ok(Some(bytes))
            }
        }
    }

    /// The same for a file that must be there.
    pub(super) async fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>> {
        let found = self.find(name, bytes_max).await?;
        found.with_context(|| format!("there is no {}", self.locate(name).unwrap_or_default()))
    }
}

pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Writes a file in one step: whoever reads it meanwhile sees the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().with_context(|| format!("{} names no file", path.display()))?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
