//! The network of a scenario: answers that were recorded, and nothing else.

use std::path::PathBuf;

use async_trait::async_trait;
use parking_lot::Mutex;
use regard_engine::Fault;
use regard_host::http::{Reach, Refused, Request, Response, Transport};

use crate::scenario::Scenario;
use crate::scenario::parts::{Answer, Exchange, Failing};

/// Stands for the network.
#[derive(Debug)]
pub struct Recorded {
    file: PathBuf,
    exchanges: Vec<Exchange>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each exchange was used.
    used: Vec<u32>,
    /// What the plugin asked for.
    requests: Vec<Request>,
    /// What it asked for and nobody recorded.
    missing: Vec<String>,
    /// Answers everything, whatever was recorded.
    always: Option<Answer>,
}

/// How far the recorded exchanges are used up.
#[derive(Debug, Clone)]
pub struct Mark(Vec<u32>);

impl Recorded {
    /// What `scenario` recorded.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            file: scenario.file.clone(),
            exchanges: scenario.http.clone(),
            state: Mutex::new(State { used: vec![0; scenario.http.len()], ..State::default() }),
        }
    }

    /// Answers every request with `answer` from now on; none for what was recorded.
    pub fn always(&self, answer: Option<Answer>) {
        self.state.lock().always = answer;
    }

    /// How far the exchanges are used up now.
    pub fn mark(&self) -> Mark {
        Mark(self.state.lock().used.clone())
    }

    /// Back to where `mark` was made, so that the same requests get the same answers again.
    pub fn rewind(&self, mark: &Mark) {
        self.state.lock().used.clone_from(&mark.0);
    }

    /// The requests since this was last asked.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().requests)
    }

    /// The requests that nobody recorded, since this was last asked.
    pub fn take_missing(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().missing)
    }

    /// Why there is no answer, and what to write into the scenario.
    fn missing(&self, request: &Request, used: &[u32]) -> String {
        let (method, url) = (&request.method, &request.url);
        let near = self.exchanges.iter().zip(used).find_map(|(exchange, &used)| {
            (exchange.method == *method && exchange.url == *url).then(|| {
                let why = unlike(exchange, request)
                    .unwrap_or_else(|| format!("is used up after {used}: raise `times`"));
                format!("the one in line {} {why}", exchange.line)
            })
        });
        let add = format!(
            "add to {}: [[http]] method = \"{method}\" url = \"{url}\" status = 200",
            self.file.display()
        );
        match near {
            Some(near) => format!("no recorded exchange fits {method} {url}: {near}; or {add}"),
            None => format!("nobody recorded {method} {url}; {add}"),
        }
    }
}

/// Why `exchange` is not the answer to `request`, whose method and address fit.
fn unlike(exchange: &Exchange, request: &Request) -> Option<String> {
    for (name, value) in &exchange.request_headers {
        let sent = request.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        match sent {
            None => return Some(format!("wants the header `{name}`")),
            Some((_, sent)) if sent != value => {
                return Some(format!("wants the header `{name}` to be `{value}`, not `{sent}`"));
            }
            Some(_) => {}
        }
    }
    let wanted = exchange.body_contains.as_ref()?;
    let body = String::from_utf8_lossy(&request.body);
    (!body.contains(wanted.as_str())).then(|| format!("wants the body to contain `{wanted}`"))
}

fn answered(answer: &Answer) -> Result<Response, Refused> {
    match answer {
        Answer::Response(status, headers, body) => {
            Ok(Response { status: *status, headers: headers.clone(), body: body.clone() })
        }
        Answer::Fails(Failing::Timeout) => Err(Refused::timed_out()),
        Answer::Fails(Failing::Refused) => {
            Err(Refused::Failed(Fault::Unavailable, "connection refused".to_owned()))
        }
    }
}

#[async_trait]
impl Transport for Recorded {
    async fn exchange(&self, request: &Request, _: Reach) -> Result<Response, Refused> {
        let mut state = self.state.lock();
        state.requests.push(request.clone());
        if let Some(answer) = &state.always {
            return answered(answer);
        }
        let fits = |exchange: &Exchange| {
            exchange.method == request.method
                && exchange.url == request.url
                && unlike(exchange, request).is_none()
        };
        let found = (0..self.exchanges.len())
            .find(|&at| state.used[at] < self.exchanges[at].times && fits(&self.exchanges[at]));
        match found {
            Some(at) => {
                state.used[at] += 1;
                answered(&self.exchanges[at].answer)
            }
            None => {
                let told = self.missing(request, &state.used);
                state.missing.push(told.clone());
                Err(Refused::Failed(Fault::Unavailable, told))
            }
        }
    }
}
