//! Opens a connection to one server: over TCP, encrypted or not, or to a socket. Lets itself in, and says who it is.
//!
//! Nothing here has a deadline of its own: whoever opens a connection, or sends on it, has one.

#[cfg(feature = "tls")]
use std::io;
use std::sync::Arc;

use redis::AsyncConnectionConfig;
use redis::Client;
use redis::ConnectionAddr;
use redis::IntoConnectionInfo;
use redis::ProtocolVersion;
use redis::PushInfo;
use redis::RedisConnectionInfo;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use redis::aio::SendError;
use redis::io::tcp::TcpSettings;
#[cfg(feature = "tls")]
use tokio::io::AsyncRead;
#[cfg(feature = "tls")]
use tokio::io::AsyncReadExt;
#[cfg(feature = "tls")]
use tokio::io::AsyncWrite;
#[cfg(feature = "tls")]
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use super::settings::Sentinels;
use super::settings::Settings;
#[cfg(feature = "tls")]
use crate::store::tls::Connector;

/// How to connect to any server of a store.
#[derive(Clone)]
pub(super) struct Dial {
    login: RedisConnectionInfo,
    client_name: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<Connector>,
}

impl Dial {
    /// Reads the certificates, once.
    ///
    /// # Errors
    ///
    /// A sentence about a file that is not there or holds something else.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            // So that what is asked first is asked by us, and what answers no Redis command is noticed.
            login: settings.login.clone().set_skip_set_lib_name(),
            client_name: settings.client_name.clone(),
            #[cfg(feature = "tls")]
            tls: settings.tls.as_ref().map(Connector::new).transpose()?,
        })
    }

    /// How to connect to the sentinels of a store, as whom they know.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub(super) fn to_sentinels(sentinels: &Sentinels, settings: &Settings) -> Result<Self, String> {
        // Only so what they say unasked can be told from what they answer.
        let login = sentinels.login.clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self { login, ..Self::new(settings)? })
    }

    /// A connection on which the next command may be sent.
    ///
    /// # Errors
    ///
    /// Why there is none, without credentials.
    pub(super) async fn open(&self, address: &ConnectionAddr) -> RedisResult<MultiplexedConnection> {
        self.open_with(address, AsyncConnectionConfig::new()).await
    }

    /// The same, and `news` is notified of whatever the server says unasked.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub(super) async fn open_and_hear(
        &self,
        address: &ConnectionAddr,
        news: Arc<Notify>,
    ) -> RedisResult<MultiplexedConnection> {
        let hear = move |_: PushInfo| {
            news.notify_one();
            Ok::<(), SendError>(())
        };
        self.open_with(address, AsyncConnectionConfig::new().set_push_sender(hear)).await
    }

    async fn open_with(
        &self,
        address: &ConnectionAddr,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.let_in(address, config).await?;
        if let Some(name) = &self.client_name {
            redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }

    async fn let_in(
        &self,
        address: &ConnectionAddr,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let config =
            config.set_response_timeout(None).set_connection_timeout(None).set_pipeline_buffer_size(PIPELINE_BUFFER);
        #[cfg(feature = "tls")]
        if let (Some(tls), ConnectionAddr::Tcp(host, port)) = (&self.tls, address) {
            let mut stream = tls.connect(host, *port).await?;
            hear(&mut stream).await?;
            let (connection, driver) = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
            // It ends with the last handle to the connection.
            tokio::spawn(driver);
            return Ok(connection);
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.clone().into_connection_info()?.set_tcp_settings(tcp);
        let client = Client::open(info.set_redis_settings(self.login.clone()))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Whether a server answers that was shown a certificate, or none.
#[cfg(feature = "tls")]
async fn hear(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"PING\r\n").await?;
    stream.flush().await?;
    // That we have to say who we are is an answer too.
    for _ in 0..LONGEST_LINE {
        if stream.read_u8().await? == b'\n' {
            return Ok(());
        }
    }
    Err(io::Error::other("what answers there is no Redis"))
}

#[cfg(feature = "tls")]
const LONGEST_LINE: usize = 1024;
const PIPELINE_BUFFER: usize = 1024;
