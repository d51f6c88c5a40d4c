//! How a server is reached: TLS both ways, a proxy, cookies, and files that cannot be used.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use wallwatch::config::{
    ClientCertificate, Destination, Endpoint, HttpBody, HttpSettings, TlsSettings,
};
use wallwatch::delivery::sink::{Delivery, Sink};

use super::{endpoint, hold, is_retry, receiver, records, why};
use crate::certificates::Authority;
use crate::http_double::proxy::Proxy;
use crate::http_double::{Double, Fault, Reply, Sink as Takes};

fn send(endpoint: Endpoint) -> Delivery {
    let settings = HttpSettings {
        endpoint,
        token: None,
        body: HttpBody::Lines,
    };
    receiver(Destination::Http(settings)).deliver(&records(2))
}

fn send_over(url: String, tls: TlsSettings) -> Delivery {
    send(Endpoint {
        tls,
        ..endpoint(url)
    })
}

#[test]
fn a_server_of_the_own_authority_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let [own, other] = ["own", "other"].map(|name| Authority::new(name, &folder.path().join(name)));
    let double = Double::start_tls(Takes(200), own.server(false));
    assert_eq!(
        send_over(double.url(), own.trusted_by(None)),
        Delivery::all(&records(2))
    );
    let distrusted = send_over(double.url(), other.trusted_by(None));
    let why = hold(&distrusted);
    assert!(why.contains("invalid peer certificate"), "{why}");
    // Whom the host trusts is none of the two.
    let distrusted = send_over(double.url(), TlsSettings::default());
    assert_eq!(distrusted.delivered, 0);
    assert_eq!(double.requests().len(), 1);
}

#[test]
fn a_server_that_wants_to_know_its_clients_gets_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("own", folder.path());
    let double = Double::start_tls(Takes(200), authority.server(true));
    let stranger = send_over(double.url(), authority.trusted_by(None));
    // Held, unless a reset was faster than the words of the server.
    assert!(
        stranger.delivered == 0 && stranger.trouble.is_some(),
        "{stranger:?}"
    );
    let known = send_over(double.url(), authority.trusted_by_client());
    assert_eq!(known, Delivery::all(&records(2)));
}

#[test]
fn a_file_that_cannot_be_used_is_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("own", folder.path());
    let double = Double::start_tls(Takes(200), authority.server(true));
    let good = authority.trusted_by_client();
    let garbage = authority.path("garbage.pem");
    fs::write(
        &garbage,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let empty = authority.path("empty.pem");
    fs::write(&empty, "").unwrap();
    let missing = authority.path("missing.pem");
    for bad in [&garbage, &empty, &missing] {
        let tls = TlsSettings {
            ca_file: Some(bad.clone()),
            ..good.clone()
        };
        let delivery = send_over(double.url(), tls);
        let named = bad.display().to_string();
        assert!(hold(&delivery).starts_with(&named), "{delivery:?}");
    }
    // A key that is another's.
    let stranger = Authority::new("stranger", &folder.path().join("stranger"));
    let key_file = stranger.trusted_by_client().client.unwrap().key_file;
    let own = good.client.clone().unwrap();
    for (key_file, reason) in [(key_file, "does not fit"), (empty, "has no private key")] {
        let client = Some(ClientCertificate {
            key_file: key_file.clone(),
            ..own.clone()
        });
        let delivery = send_over(
            double.url(),
            TlsSettings {
                client,
                ..good.clone()
            },
        );
        let why = hold(&delivery);
        assert!(
            why.starts_with(&format!("{} {reason}", key_file.display())),
            "{why}"
        );
    }
    assert!(double.requests().is_empty());
}

#[test]
fn certificates_are_read_anew_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| Authority::new(name, &folder.path().join(name)));
    let double = Double::start_tls(Takes(200), new.server(false));
    let settings = HttpSettings {
        endpoint: Endpoint {
            tls: old.trusted_by(None),
            ..endpoint(double.url())
        },
        token: None,
        body: HttpBody::Lines,
    };
    let mut sink = receiver(Destination::Http(settings));
    assert_eq!(sink.deliver(&records(1)).delivered, 0);
    fs::copy(new.path("ca.pem"), old.path("ca.pem")).unwrap();
    assert_eq!(sink.deliver(&records(1)).delivered, 1);
}

#[test]
fn a_proxy_is_asked_by_connect_for_either_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("own", folder.path());
    let secure = Double::start_tls(Takes(200), authority.server(false));
    let plain = Double::start(Takes(200));
    // `printf agent:hush | base64`
    let proxy = Proxy::start(Some("Basic YWdlbnQ6aHVzaA=="));
    let through = |credentials: &str, url: String| {
        send(Endpoint {
            proxy: Some(format!("http://{credentials}{}", proxy.address())),
            tls: authority.trusted_by(None),
            ..endpoint(url)
        })
    };
    for url in [secure.url(), plain.url()] {
        let delivery = through("agent:hush@", url.clone());
        assert_eq!(delivery, Delivery::all(&records(2)));
        let target = url.split_once("://").unwrap().1.to_owned();
        assert_eq!(proxy.targets().last(), Some(&target));
        let refused = through("agent:wrong@", url);
        assert_eq!(
            hold(&refused),
            "the proxy wants another user or password (407)"
        );
    }
    assert_eq!((secure.requests().len(), plain.requests().len()), (1, 1));
}

#[test]
fn nobody_there_is_tried_again_and_nothing_of_the_url_is_told_but_the_server() {
    // Free a moment ago; the kernel does not give the same to the next who asks for any.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for host in [format!("localhost:{port}"), "nowhere.invalid".to_owned()] {
        let delivery = send(endpoint(format!("http://{host}/hook/hush?key=hush")));
        let why = why(delivery.trouble.as_ref());
        assert!(is_retry(delivery.trouble.as_ref()), "{delivery:?}");
        assert!(why.starts_with(&format!("http://{host}: ")), "{why}");
        assert!(!why.contains("hush"), "{why}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let double = Double::start(Takes(200));
    double.fail([Fault::Slow(Duration::from_secs(5))]);
    let delivery = send(Endpoint {
        timeout: Duration::from_secs(1),
        ..endpoint(double.url())
    });
    let why = why(delivery.trouble.as_ref());
    assert_eq!(why, format!("{}: no answer within 1 s", double.url()));
}

#[test]
fn a_cookie_of_the_balancer_finds_the_same_server_again() {
    let double = Double::start(Takes(200));
    let settings = HttpSettings {
        endpoint: Endpoint {
            headers: vec![("X-Tenant".to_owned(), "gateway".to_owned())],
            ..endpoint(double.url())
        },
        token: None,
        body: HttpBody::Single,
    };
    let mut sink = receiver(Destination::Http(settings));
    let marked = Reply::new(200, "").with("Set-Cookie", "node=7; Path=/; HttpOnly");
    double.fail([Fault::Say(marked)]);
    assert_eq!(sink.deliver(&records(2)).delivered, 2);
    sink.reload();
    assert_eq!(sink.deliver(&records(1)).delivered, 1);
    let requests = double.requests();
    let cookies: Vec<_> = requests
        .iter()
        .map(|request| request.header("cookie"))
        .collect();
    assert_eq!(cookies, [None, Some("node=7"), None]);
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
    assert_eq!(requests[0].header("x-tenant"), Some("gateway"));
}
