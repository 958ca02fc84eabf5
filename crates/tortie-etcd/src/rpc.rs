//! The calls of etcd's API that this store makes.

use std::marker::PhantomData;

use http::uri::PathAndQuery;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::link::Connection;
use crate::proto;

/// Bytes of the largest answer, as etcd itself limits what it sends. The default of 4 MiB is less than a thousand keys
/// may hold.
const ANSWER_LEN_MAX: usize = i32::MAX as usize;

/// One call: its path, and what goes and comes.
pub(crate) struct Rpc<Q, A> {
    path: &'static str,
    is_read: bool,
    shape: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Clone for Rpc<Q, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q, A> Copy for Rpc<Q, A> {}

impl<Q, A> Rpc<Q, A> {
    const fn read(path: &'static str) -> Self {
        Self { path, is_read: true, shape: PhantomData }
    }

    const fn write(path: &'static str) -> Self {
        Self { path, is_read: false, shape: PhantomData }
    }

    /// Whether asking twice does no harm.
    pub(crate) fn is_read(self) -> bool {
        self.is_read
    }
}

pub(crate) const RANGE: Rpc<proto::Range, proto::RangeAnswer> = Rpc::read("/etcdserverpb.KV/Range");
pub(crate) const TXN: Rpc<proto::Txn, proto::TxnAnswer> = Rpc::write("/etcdserverpb.KV/Txn");
/// A transaction of nothing but reads.
pub(crate) const TXN_READ: Rpc<proto::Txn, proto::TxnAnswer> = Rpc::read("/etcdserverpb.KV/Txn");
/// A lease that nobody uses runs out by itself.
pub(crate) const LEASE_GRANT: Rpc<proto::LeaseGrant, proto::LeaseAnswer> = Rpc::read("/etcdserverpb.Lease/LeaseGrant");
pub(crate) const AUTHENTICATE: Rpc<proto::Authenticate, proto::AuthenticateAnswer> =
    Rpc::read("/etcdserverpb.Auth/Authenticate");
pub(crate) const STATUS: Rpc<proto::Status, proto::StatusAnswer> = Rpc::read("/etcdserverpb.Maintenance/Status");
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Sends one request and waits for its answer, for as long as that takes.
pub(crate) async fn unary<Q, A>(connection: &Connection, rpc: Rpc<Q, A>, ask: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = client(connection).await?;
    let mut request = Request::new(ask);
    sign(connection, &mut request);
    let codec = ProstCodec::<Q, A>::default();
    Ok(grpc.unary(request, PathAndQuery::from_static(rpc.path), codec).await?.into_inner())
}

/// Opens a stream of watches. It ends when the member loses its leader: without that a client of a member that is cut off
/// would wait in silence.
pub(crate) async fn watch(
    connection: &Connection,
    mut request: Request<ReceiverStream<proto::WatchRequest>>,
) -> Result<Streaming<proto::WatchAnswer>, Status> {
    let mut grpc = client(connection).await?;
    sign(connection, &mut request);
    request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
    let codec = ProstCodec::<proto::WatchRequest, proto::WatchAnswer>::default();
    Ok(grpc.streaming(request, PathAndQuery::from_static(WATCH), codec).await?.into_inner())
}

async fn client(connection: &Connection) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(connection.channel.clone()).max_decoding_message_size(ANSWER_LEN_MAX);
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    Ok(grpc)
}

fn sign<T>(connection: &Connection, request: &mut Request<T>) {
    if let Some(token) = &connection.token {
        request.metadata_mut().insert("token", token.clone());
    }
}
