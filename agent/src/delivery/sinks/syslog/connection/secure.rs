//! TLS over a connection (RFC 5425).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use sha2::{Digest, Sha256};

use super::{Ending, READS_MAX, drain, ending_of, recv_now};
use crate::config::{Address, TlsSettings};
use crate::delivery::sink::Trouble;
use crate::delivery::sinks::tls::client_config;

/// What is encrypted at once; a record of TLS has no more (RFC 8446, section 5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Reads in which a server must have shaken hands: its certificates are some KiB.
const HANDSHAKE_READS_MAX: usize = 256;

pub(in crate::delivery::sinks::syslog) struct TlsPeer {
    pub(super) address: Address,
    pub(super) settings: TlsSettings,
    pub(super) server_name: String,
}

impl TlsPeer {
    /// Reads the files anew: one of them may have been replaced since.
    pub(super) fn client(&self) -> Result<ClientConnection, Trouble> {
        let hold = |why: String| Trouble::Hold { why };
        let config = client_config(&self.settings).map_err(|fault| hold(fault.to_string()))?;
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|error| hold(format!("`{}`: {error}", self.server_name)))?;
        ClientConnection::new(config, name).map_err(|error| hold(format!("TLS: {error}")))
    }
}

/// A connection on which hands were shaken.
pub(super) struct Secure {
    tls: ClientConnection,
    tcp: TcpStream,
    timeout: Duration,
}

impl Secure {
    /// Each step takes `timeout` at the most.
    pub(super) fn shake_hands(
        tls: ClientConnection,
        tcp: TcpStream,
        timeout: Duration,
    ) -> Result<Self, Ending> {
        let mut secure = Self { tls, tcp, timeout };
        for _ in 0..HANDSHAKE_READS_MAX {
            secure.flush().map_err(|error| ending_of(error, timeout))?;
            if !secure.tls.is_handshaking() {
                return Ok(secure);
            }
            let mut tcp = &secure.tcp;
            match secure.tls.read_tls(&mut tcp) {
                Ok(0) => return Err(Ending::Closed),
                Ok(_) => {}
                Err(error) => return Err(ending_of(error, timeout)),
            }
            secure.process()?;
        }
        Err(Ending::Broken(io::Error::other("a handshake without end")))
    }

    /// As an operator compares it: `openssl x509 -noout -fingerprint -sha256` says the same of a certificate.
    pub(super) fn description(&self) -> String {
        let version = match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let suite = self.tls.negotiated_cipher_suite();
        let suite = suite.map_or_else(String::new, |suite| format!(", {:?}", suite.suite()));
        let certificate = self.tls.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map_or_else(String::new, |certificate| {
            let digest = Sha256::digest(certificate.as_ref());
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(", the peer's certificate has the SHA-256 {digest}")
        });
        format!("{version}{suite}{certificate}")
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for record in bytes.chunks(RECORD_BYTES_MAX) {
            self.tls.writer().write_all(record)?;
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn drain(
        &mut self,
        settle: Duration,
        timeout: Duration,
    ) -> Result<Duration, Ending> {
        let socket = self.tcp.try_clone().map_err(Ending::Broken)?;
        drain(&socket, settle, timeout, || self.listen())
    }

    pub(super) fn listen(&mut self) -> Result<(), Ending> {
        for _ in 0..READS_MAX {
            match self.tls.read_tls(&mut Now(&self.tcp)) {
                Ok(0) => return Err(Ending::Closed),
                Ok(_) => self.process()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Ending::Broken(error)),
            }
        }
        Ok(())
    }

    /// Takes in what was read. What the server says inside of TLS is read past, its farewell is an end.
    fn process(&mut self) -> Result<(), Ending> {
        let state = self.tls.process_new_packets().map_err(|error| {
            // The server may want to know what was wrong with it. If it does not hear of it, nothing changes.
            drop(self.flush());
            Ending::Tls(error)
        })?;
        let mut rest = state.plaintext_bytes_to_read();
        let mut bytes = [0; 4096];
        while rest > 0 {
            let part = &mut bytes[..rest.min(4096)];
            self.tls.reader().read_exact(part).map_err(Ending::Broken)?;
            rest -= part.len();
        }
        if state.peer_has_closed() {
            return Err(Ending::Closed);
        }
        // An answer to a change of keys.
        let timeout = self.timeout;
        self.flush().map_err(|error| ending_of(error, timeout))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut tcp = &self.tcp;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut tcp)?;
        }
        Ok(())
    }
}

/// Reads what has come, without waiting.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        recv_now(self.0, bytes)
    }
}
