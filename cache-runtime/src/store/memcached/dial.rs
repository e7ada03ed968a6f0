//! Opens a connection to one server, encrypted or not.
//!
//! Nothing here has a deadline of its own: whoever opens a connection has one.

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::Settings;
#[cfg(feature = "tls")]
use crate::store::tls::Connector;

/// How to connect to any server of a list.
#[derive(Clone)]
pub(super) struct Dial {
    #[cfg(feature = "tls")]
    tls: Option<Connector>,
}

/// A connection, whatever it is made of.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(super) type Stream = Box<dyn Duplex>;

impl Dial {
    /// Reads the certificates, once.
    ///
    /// # Errors
    ///
    /// A sentence about a file that is not there or holds something else.
    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::unnecessary_wraps, reason = "without encryption there are no files")
    )]
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        #[cfg(not(feature = "tls"))]
        let _ = &settings.tls;
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: settings.tls.as_ref().map(Connector::new).transpose()?,
        })
    }

    /// A connection on which something may be said.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) async fn open(&self, server: &str) -> Result<Stream, String> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (host, port) = parts(server).ok_or("not a host and a port")?;
            return Ok(Box::new(tls.connect(host, port).await.map_err(|error| error.to_string())?));
        }
        let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }
}

/// The parts of `host:port`, of which the host may be in brackets.
#[cfg(feature = "tls")]
fn parts(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host), port.parse().ok()?))
}
