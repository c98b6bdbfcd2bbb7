//! Certificates and keys in files, the verifier that takes any certificate, and a stream that speaks TLS and never waits.
//! Which host is to be trusted with what is its callers' business.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::file;

/// How long the other side may take to read the last words before nobody waits for it any more.
const FAREWELL: Duration = Duration::from_secs(2);

fn read(path: &Path) -> Result<Vec<u8>> {
    file::read_optional(path)?
        .ok_or_else(|| Error::not_found(format!("{} is gone", path.display())))
}

/// All certificates of a PEM file.
///
/// # Errors
/// What open(2) says; a file without any.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::invalid("not PEM").caused_by(error))
        .attempt(|| format!("read the certificate {}", path.display()))?;
    if certificates.is_empty() {
        let path = path.display();
        return Err(Error::invalid(format!("{path} has no certificate (PEM)")));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
///
/// # Errors
/// What open(2) says; a file without one. Nothing of its content is told.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    // The cause could quote the file: it stays out.
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_cause| Error::invalid(format!("{} has no private key (PEM)", path.display())))
}

/// Takes any certificate, but wants the handshake itself to be right.
#[derive(Debug)]
pub struct AnyCertificate(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One side of a conversation that is made: what was taken and not yet sent waits in it.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    session: ClientConnection,
}

impl Stream {
    /// Speaks TLS over a connection; waits for the other side for so long at most, step by step. The socket does not block
    /// afterwards.
    ///
    /// # Errors
    /// What is wrong with its certificate, or its TLS; `WouldBlock` if it says nothing.
    pub fn begin(
        mut socket: TcpStream,
        config: &Arc<ClientConfig>,
        patience: Duration,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        let name = ServerName::from(socket.peer_addr()?.ip());
        let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        // The caller's own limit holds.
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, session })
    }

    /// The connection, for waiting.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Takes all of `bytes` and sends as much as there is room for; whether everything is on its way.
    ///
    /// # Errors
    /// The other side is gone.
    pub fn send(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        self.session.writer().write_all(bytes)?;
        bytes.clear();
        self.hear()?;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whatever it says: tickets, or that it has gone.
    fn hear(&mut self) -> io::Result<()> {
        loop {
            match self.session.read_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
                Ok(_) => {
                    let state = self.session.process_new_packets();
                    let state = state.map_err(io::Error::other)?;
                    let mut said = vec![0; state.plaintext_bytes_to_read()];
                    self.session.reader().read_exact(&mut said)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Stream {
    /// Says good-bye and waits until the other side has read everything: a socket that is closed with something unread
    /// in it (a ticket) takes back what was sent (tcp(7)).
    fn drop(&mut self) {
        let farewell = |stream: &mut Self| -> io::Result<()> {
            let socket = &mut stream.socket;
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(FAREWELL))?;
            socket.set_write_timeout(Some(FAREWELL))?;
            stream.session.send_close_notify();
            while stream.session.wants_write() {
                stream.session.write_tls(socket)?;
            }
            socket.shutdown(std::net::Shutdown::Write)?;
            let mut said = [0; 512];
            while socket.read(&mut said)? > 0 {}
            Ok(())
        };
        let _ = farewell(self);
    }
}
