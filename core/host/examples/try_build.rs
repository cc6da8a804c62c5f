//! Scratch.
use regard_host::build::{BuildOptions, build_plugin};
fn main() {
    let mut args = std::env::args().skip(1);
    let out = args.next().unwrap();
    for folder in args {
        let t = std::time::Instant::now();
        let mut options = BuildOptions::new(&out);
        if let Ok(dir) = std::env::var("TRY_CACHE") { options.cache_dir = dir.clone().into(); options.target_dir = std::path::Path::new(&dir).join("guests"); }
        match build_plugin(folder.as_ref(), &options, &mut |l| eprintln!("  {l}")) {
            Ok(b) => println!("{} {} bytes {} changed={} in {:?}\n  imports {:?}\n  exports {:?}", b.component.display(), b.bytes, b.digest, b.changed, t.elapsed(), b.imports, b.exports),
            Err(e) => println!("error: {e}"),
        }
    }
}
