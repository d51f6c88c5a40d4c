//! One HTTP client for every sink that speaks HTTP: blocking, on the sink's own thread.
//!
//! It keeps one connection alive, and the cookies that a balancer sets, so that what was asked of one server is asked
//! of the same server again. Redirects are not followed. Answers are read up to 64 KiB.

mod answer;
mod cookies;
mod credentials;
mod tls;

use std::io::{self, Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::http::StatusCode;
use ureq::{Agent, Proxy};

use crate::config::Endpoint;
use crate::delivery::sink::Trouble;
use crate::delivery::sinks::tls::needs_somebody;

pub(super) use answer::{Answer, Reception};
use cookies::Cookies;
use credentials::Authorization;
pub(super) use credentials::{Credentials, Scheme};

/// Of an answer's body; what comes behind is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Shorter bodies gain nothing by compression.
const PLAIN_BYTES_MAX: usize = 1024;

/// Of an answer's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// A connection without a question for so long is closed; acks are asked for every 10 seconds.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Of what others wrote, as far as it is repeated.
const SHOWN_CHARS_MAX: usize = 300;

/// Says who asks; receivers log it.
const USER_AGENT: &str = concat!("wallwatch/", env!("CARGO_PKG_VERSION"));

/// One question to a server, and its answer.
pub(super) trait Exchange: Send {
    /// Asks, and waits for the answer. No answer is a trouble: whoever was asked may have done it all the same. Where
    /// compressed bodies are not taken (415), they go as they are from then on.
    fn post(&mut self, post: &Post<'_>) -> Result<Answer, Trouble>;

    /// Forgets connections, certificates, secrets and cookies.
    fn reload(&mut self);

    /// `text` for people: short, and without any secret that the receiver may have repeated.
    fn shown(&self, text: String) -> String {
        beginning(text)
    }
}

/// A request, beside what the endpoint's settings say.
pub(super) struct Post<'a> {
    /// Behind the endpoint's URL.
    pub(super) path: &'a str,
    pub(super) content_type: &'static str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: &'a [u8],
}

pub(super) struct Client {
    endpoint: Endpoint,
    credentials: Option<Credentials>,
    agent: Option<Agent>,
    authorization: Option<Authorization>,
    /// The secret was refused: it is read anew.
    is_stale: bool,
    cookies: Cookies,
    gzip: bool,
}

impl Client {
    /// Nothing is read or connected to before the first request.
    pub(super) fn new(endpoint: &Endpoint, credentials: Option<Credentials>) -> Self {
        Self {
            endpoint: endpoint.clone(),
            credentials,
            agent: None,
            authorization: None,
            is_stale: false,
            cookies: Cookies::default(),
            gzip: endpoint.gzip,
        }
    }

    fn open(&self) -> Result<Agent, Trouble> {
        let Endpoint {
            url,
            proxy,
            tls,
            timeout,
            gzip: _,
            headers: _,
        } = &self.endpoint;
        let proxy = proxy.as_deref().map(Proxy::new).transpose();
        let proxy = proxy.map_err(|_| hold("the URL of the proxy cannot be used"))?;
        let mut config = Agent::config_builder()
            .proxy(proxy)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_age(IDLE_MAX)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .timeout_global(Some(*timeout));
        if url.starts_with("https:") {
            config = config.tls_config(tls::config(tls)?);
        }
        Ok(config.build().new_agent())
    }

    fn ask(&mut self, post: &Post<'_>) -> Result<Answer, Trouble> {
        if (self.authorization.is_none() || self.is_stale)
            && let Some(credentials) = &self.credentials
        {
            self.authorization = Some(credentials.read()?);
        }
        let agent = match self.agent.take() {
            Some(agent) => agent,
            None => self.open()?,
        };
        let gzipped = self.compresses(post.body).then(|| gzip(post.body));
        let request = self.request(&agent, post, gzipped.is_some());
        let response = request.send(gzipped.as_deref().unwrap_or(post.body));
        let mut response = response.map_err(|error| self.trouble(&error))?;
        self.cookies.take_from(response.headers());
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader();
        let read = Read::take(&mut reader, ANSWER_BYTES_MAX as u64).read_to_end(&mut body);
        read.map_err(|error| self.trouble(&ureq::Error::from(error)))?;
        // Only after all went well: whoever is connected to anew gets certificates that are read anew.
        self.agent = Some(agent);
        Ok(Answer::new(
            response.status().as_u16(),
            response.headers(),
            body,
        ))
    }

    fn compresses(&self, body: &[u8]) -> bool {
        self.gzip && body.len() > PLAIN_BYTES_MAX
    }

    fn request(
        &self,
        agent: &Agent,
        post: &Post<'_>,
        is_gzipped: bool,
    ) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let url = format!("{}{}", self.endpoint.url, post.path);
        let mut request = agent.post(url).content_type(post.content_type);
        if is_gzipped {
            request = request.header("Content-Encoding", "gzip");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.header());
        }
        if let Some(cookies) = self.cookies.header() {
            request = request.header("Cookie", cookies);
        }
        for (name, value) in post.headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        request
    }

    /// What an error means. No text has more of the URL than the server: the rest may be a secret.
    fn trouble(&self, error: &ureq::Error) -> Trouble {
        let server = self.endpoint.server();
        if let ureq::Error::BadUri(_) | ureq::Error::Http(_) = error {
            return hold("the URL or a header cannot be used");
        }
        if let ureq::Error::ConnectProxyFailed(reason) = error
            && reason.contains(StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_str())
        {
            return hold("the proxy wants another user or password (407)");
        }
        let why = if let ureq::Error::Timeout(_) = error {
            let seconds = self.endpoint.timeout.as_secs_f64();
            format!("{server}: no answer within {seconds} s")
        } else {
            format!("{server}: {error}")
        };
        match tls_error(error) {
            Some(error) if needs_somebody(error) => Trouble::Hold { why },
            _ => Trouble::Retry { after: None, why },
        }
    }
}

/// What TLS complains of, if it was that.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    if let ureq::Error::Rustls(error) = error {
        return Some(error);
    }
    let ureq::Error::Io(error) = error else {
        return None;
    };
    error.get_ref()?.downcast_ref()
}

impl Exchange for Client {
    fn post(&mut self, post: &Post<'_>) -> Result<Answer, Trouble> {
        let mut answer = self.ask(post)?;
        if answer.reception() == Reception::Encoding && self.compresses(post.body) {
            self.gzip = false;
            answer = self.ask(post)?;
        }
        // Another secret may be in the file by the next time.
        self.is_stale = answer.is_barred();
        Ok(answer)
    }

    fn reload(&mut self) {
        self.agent = None;
        self.authorization = None;
        self.cookies = Cookies::default();
        self.gzip = self.endpoint.gzip;
    }

    fn shown(&self, text: String) -> String {
        // First the one, then the other: half a secret would not be found.
        beginning(match &self.authorization {
            Some(authorization) => authorization.censored(text),
            None => text,
        })
    }
}

fn hold(why: &str) -> Trouble {
    Trouble::Hold {
        why: why.to_owned(),
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written: io::Result<()> = encoder.write_all(body);
    written
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
}

fn beginning(text: String) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short() {
        let text = "ä".repeat(1000);
        assert_eq!(beginning(text), format!("{}…", "ä".repeat(300)));
        assert_eq!(beginning("ä".to_owned()), "ä");
    }
}
