//! A Flight client and server in Rust, to hold Atom Console against the library of the platform's engine.
//!
//! `peer get ADDRESS TICKET OUT.arrow [CA CERT KEY]`   fetch into an Arrow file
//! `peer serve IN.arrow [CA CERT KEY]`                 serve a file over DoGet and GetSchema; prints its address

use std::fs::{read, File};
use std::pin::Pin;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightClient, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use futures::{stream, Stream, StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

async fn get(address: &str, ticket: &str, out: &str, files: &[String]) -> Result<(), Failure> {
    let scheme = if files.is_empty() { "http" } else { "https" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?;
    if let [ca, cert, key] = files {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(ca)?))
            .identity(Identity::from_pem(read(cert)?, read(key)?))
            .domain_name("localhost");
        endpoint = endpoint.tls_config(tls)?;
    }
    let mut client = FlightClient::new(endpoint.connect().await?);
    let promised = client.get_schema(FlightDescriptor::new_cmd(ticket.to_string())).await?;
    let mut rows = client.do_get(Ticket::new(ticket.to_string())).await?;
    let mut writer = FileWriter::try_new(File::create(out)?, &promised)?;
    while let Some(batch) = rows.try_next().await? {
        if batch.schema().as_ref() != &promised {
            return Err("the stream is not what GetSchema promised".into());
        }
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(())
}

struct FromFile(String);

impl FromFile {
    fn open(&self) -> Result<FileReader<File>, Status> {
        let file = File::open(&self.0).map_err(|error| Status::internal(error.to_string()))?;
        FileReader::try_new(file, None).map_err(|error| Status::internal(error.to_string()))
    }
}

#[tonic::async_trait]
impl FlightService for FromFile {
    type HandshakeStream = Answer<HandshakeResponse>;
    type ListFlightsStream = Answer<FlightInfo>;
    type DoGetStream = Answer<FlightData>;
    type DoPutStream = Answer<PutResult>;
    type DoExchangeStream = Answer<FlightData>;
    type DoActionStream = Answer<arrow_flight::Result>;
    type ListActionsStream = Answer<ActionType>;

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let schema = self.open()?.schema();
        let options = IpcWriteOptions::default();
        let result = SchemaResult::try_from(SchemaAsIpc::new(&schema, &options))
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(result))
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let reader = self.open()?;
        let schema = reader.schema();
        let batches: Vec<_> = reader.collect::<Result<_, _>>().map_err(|error| Status::internal(error.to_string()))?;
        let rows = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .build(stream::iter(batches.into_iter().map(Ok)))
            .map_err(Status::from);
        Ok(Response::new(rows.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn serve(path: &str, files: &[String]) -> Result<(), Failure> {
    let mut builder = Server::builder();
    if let [ca, cert, key] = files {
        let tls = ServerTlsConfig::new()
            .client_ca_root(Certificate::from_pem(read(ca)?))
            .identity(Identity::from_pem(read(cert)?, read(key)?));
        builder = builder.tls_config(tls)?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let service = FlightServiceServer::new(FromFile(path.to_string()));
    builder.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given[0].as_str() {
        "get" => get(&given[1], &given[2], &given[3], &given[4..]).await,
        "serve" => serve(&given[1], &given[2..]).await,
        other => Err(format!("no such command: {other}").into()),
    }
}
