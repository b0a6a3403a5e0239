//! A broker alone, for trying it with tools that are not among its tests:
//! `cargo run --release -p escala-stream-ingest --example broker -- FOLDER ADDRESS [PARTITIONS [REPLICAS]]`,
//! partitions of topics whose maker does not say, and whether more replicas than 1 are taken for one.

use escala_stream_ingest::{broker, log};
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the log's folder is missing")?;
    let address = arguments
        .next()
        .ok_or("the address to listen to is missing")?;
    let partitions = arguments.next().map(|count| count.parse()).transpose()?;
    let replicas: Option<i16> = arguments.next().map(|count| count.parse()).transpose()?;
    let disk = Arc::new(log::disk::Folder::open(folder.clone())?);
    let log = log::Log::open(disk, log::Options::default())?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut options = broker::Options {
        folder,
        ..broker::Options::default()
    };
    options.groups.initial_delay = Duration::ZERO;
    options.groups.shortest_session = Duration::from_millis(100);
    options.accept_replication = replicas.is_some_and(|count| count > 1);
    options.partitions = partitions.unwrap_or(options.partitions);
    let failing = log.clone();
    let stop = async move {
        tokio::select! {
            // Only opening it again tells what the disk kept.
            error = failing.failed() => eprintln!("{error}"),
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    broker::serve(listener, log.clone(), options, stop).await;
    log.close().await?;
    Ok(())
}
