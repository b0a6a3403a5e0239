//! A broker that keeps nothing: it reads what producers send and acknowledges it. What a producer reaches with it is the most
//! that this producer can show of any broker on this machine; `benches/log.sh` says it beside every figure.
//!
//! `cargo run --release -p escala-stream-ingest --example null -- ADDRESS`

use bytes::Bytes;
use escala_stream_ingest::wire::messages::{api_versions, init_producer_id, metadata, produce};
use escala_stream_ingest::wire::{Api, Reader, RequestHeader, Writer, write_response_header};
use std::error::Error;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest request that is read.
const LONGEST: usize = 128 << 20;
/// Partitions of every topic.
const PARTITIONS: i32 = 12;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("the address to listen to is missing")?;
    let listener = TcpListener::bind(address).await?;
    let here = listener.local_addr()?;
    println!("listening on {here}");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream, here).await {
                eprintln!("{error}");
            }
        });
    }
}

/// Answers one request after the other.
async fn serve(
    mut stream: TcpStream,
    here: SocketAddr,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        let Ok(length) = stream.read_u32().await else {
            // It left.
            return Ok(());
        };
        let length = length as usize;
        if length > LONGEST {
            return Err(format!("a request of {length} bytes").into());
        }
        request.resize(length, 0);
        stream.read_exact(&mut request).await?;
        let mut reader = Reader::new(std::mem::take(&mut request).into());
        let header = RequestHeader::read(&mut reader)?;
        let answer = answer(&header, &mut reader, here)?;
        for piece in answer {
            stream.write_all(&piece).await?;
        }
    }
}

/// What is sent back, with its length in front.
fn answer(
    header: &RequestHeader,
    reader: &mut Reader,
    here: SocketAddr,
) -> Result<Vec<Bytes>, Box<dyn Error + Send + Sync>> {
    let (api, version) = (Api::of(header.key), header.version);
    let api = api.ok_or_else(|| format!("API {} is not known", header.key))?;
    let mut writer = Writer::new();
    write_response_header(api, version, header.correlation, &mut writer)?;
    match api {
        Api::ApiVersions => versions().write(version, &mut writer)?,
        Api::Metadata => {
            let request = metadata::Request::read(version, reader)?;
            topics(request, here).write(version, &mut writer)?;
        }
        Api::InitProducerId => init_producer_id::Response {
            producer_id: 1,
            ..init_producer_id::Response::default()
        }
        .write(version, &mut writer)?,
        Api::Produce => {
            let request = produce::Request::read(version, reader)?;
            if request.acks == 0 {
                return Ok(Vec::new());
            }
            kept(request).write(version, &mut writer)?;
        }
        other => return Err(format!("{other:?} is not answered here").into()),
    }
    let mut pieces = vec![Bytes::copy_from_slice(&(writer.len() as u32).to_be_bytes())];
    pieces.extend(writer.finish());
    Ok(pieces)
}

fn versions() -> api_versions::Response {
    let served = [
        (Api::Produce, 0, 9),
        (Api::Metadata, 0, 12),
        (Api::ApiVersions, 0, 3),
        (Api::InitProducerId, 0, 4),
    ];
    let key = |(api, min_version, max_version)| api_versions::ApiVersion {
        api_key: api as i16,
        min_version,
        max_version,
    };
    api_versions::Response {
        api_keys: served.into_iter().map(key).collect(),
        ..api_versions::Response::default()
    }
}

/// Every topic that is asked for is there.
fn topics(request: metadata::Request, here: SocketAddr) -> metadata::Response {
    let partition = |partition_index| metadata::MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..metadata::MetadataResponsePartition::default()
    };
    let topic = |asked: metadata::MetadataRequestTopic| metadata::MetadataResponseTopic {
        name: asked.name,
        topic_id: asked.topic_id,
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..metadata::MetadataResponseTopic::default()
    };
    metadata::Response {
        brokers: vec![metadata::MetadataResponseBroker {
            node_id: 1,
            host: here.ip().to_string(),
            port: i32::from(here.port()),
            rack: None,
        }],
        controller_id: 1,
        topics: request
            .topics
            .unwrap_or_default()
            .into_iter()
            .map(topic)
            .collect(),
        ..metadata::Response::default()
    }
}

fn kept(request: produce::Request) -> produce::Response {
    let partition = |one: produce::PartitionProduceData| produce::PartitionProduceResponse {
        index: one.index,
        log_append_time_ms: -1,
        ..produce::PartitionProduceResponse::default()
    };
    let topic = |topic: produce::TopicProduceData| produce::TopicProduceResponse {
        name: topic.name,
        partition_responses: topic.partition_data.into_iter().map(partition).collect(),
        ..produce::TopicProduceResponse::default()
    };
    produce::Response {
        responses: request.topic_data.into_iter().map(topic).collect(),
        ..produce::Response::default()
    }
}
