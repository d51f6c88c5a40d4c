//! Cookies of one server, as far as a balancer needs them: it marks a client by one, and finds its server again.
//!
//! RFC 6265 without attributes: one sink asks one server for two paths, over one scheme. What `Set-Cookie` says of
//! lifetimes is not followed but for `Max-Age=0`, which takes a cookie back; the others last until the reload.

use std::collections::BTreeMap;

use ureq::http::{HeaderMap, header};

const COOKIES_MAX: usize = 16;
/// RFC 6265, section 6.1: what user agents should at least take.
const COOKIE_BYTES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Cookies(BTreeMap<String, String>);

impl Cookies {
    pub(super) fn take_from(&mut self, headers: &HeaderMap) {
        let lines = headers.get_all(header::SET_COOKIE).into_iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .for_each(|line| self.take(line));
    }

    /// One that does not fit, or finds no room, is left out.
    fn take(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        if name.is_empty() || name.len() + value.len() > COOKIE_BYTES_MAX {
            return;
        }
        if parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.0.remove(name);
        } else if self.0.len() < COOKIES_MAX || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// `None` when there are none.
    pub(super) fn header(&self) -> Option<String> {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        let pairs: Vec<_> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_given_back_until_it_is_taken_back() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header(), None);
        cookies.take("AWSALB=one; Path=/; Expires=Tue, 24 Nov 2026 10:00:00 GMT");
        cookies.take("node=a=b; Secure; HttpOnly");
        cookies.take("AWSALB=two; Path=/");
        assert_eq!(cookies.header().as_deref(), Some("AWSALB=two; node=a=b"));
        cookies.take("AWSALB=; Max-Age=0");
        assert_eq!(cookies.header().as_deref(), Some("node=a=b"));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut cookies = Cookies::default();
        for line in ["", "=", "=x", "name", &format!("a={}", "x".repeat(4096))] {
            cookies.take(line);
        }
        assert_eq!(cookies.header(), None);
        (0..100).for_each(|number| cookies.take(&format!("c{number}=x")));
        assert_eq!(cookies.0.len(), COOKIES_MAX);
    }
}
