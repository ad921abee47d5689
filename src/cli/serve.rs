//! `roombot serve`: runs the recorder service until it is stopped.

use super::output::OutputArgs;
use super::print::print_out;
use super::runtime::{interrupted, reload_requests, runtime};
use crate::error::Result;
use crate::log;
use crate::service::{Reload, Role, Service, ServiceConfig, StoreConfig};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run the recorder service: an HTTP API and a dashboard to record rooms, with a queue, films, webhooks and object storage.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot serve                                      # prints its address and a first key
  roombot serve --config /etc/roombot.toml
  curl -H \"authorization: Bearer $KEY\" -H 'content-type: application/json' \\
       -d '{\"room_url\":\"ws://127.0.0.1:8080/rooms/standup\"}' http://127.0.0.1:9000/v1/recordings

Every key of the configuration (docs/serve.md) is also a variable: ROOMBOT_LISTEN, ROOMBOT_STORE__URL; with _FILE at its end it names a file \
with the value, as in ROOMBOT_ADMIN_KEY_FILE. Recorders are processes of their own: when the service is stopped or killed they go on, and the next start with \
the same --data takes over.")]
pub struct ServeArgs {
    /// Configuration file (TOML); --print-config shows one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:9000].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Folder of the database and of all recordings [default: roombot-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Cores that recorders and films may use: a recorder takes 0.1, a film 1 [default: all].
    #[arg(long, value_name = "CORES")]
    capacity: Option<f64>,
    /// NATS with JetStream, to record on several machines (docs/machines.md): nats://host:4222.
    #[arg(long, value_name = "URL")]
    queue: Option<String>,
    /// What this machine does, with --queue: api or worker.
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// The worker's name [default: the machine's].
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Where recordings go: s3://bucket/prefix, gs://…, az://…, file:///PATH.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the configuration in force and exit.
    #[arg(long)]
    print_config: bool,
    /// Print the address and the first key as one JSON line.
    #[arg(long)]
    json: bool,
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User): the configuration, the address or the folder.
/// [`Error::Machine`](crate::error::Error::Machine): the disk or the socket failed.
pub fn start(args: ServeArgs, output: OutputArgs) -> Result<()> {
    let config = args.configuration()?;
    let serves = !args.print_config && !args.check_config;
    let runtime = runtime()?;
    {
        let _in_runtime = runtime.enter();
        output.prepare(Some(config.log_format), config.log.as_deref(), serves)?;
    }
    for name in &config.unknown_variables {
        tracing::warn!("{name} is ignored: the configuration has no such key");
    }
    if args.print_config {
        print_out!("{}", config.to_toml().trim_end());
        return Ok(());
    }
    if args.check_config {
        Service::check(&config)?;
        print_out!("The configuration is valid.");
        return Ok(());
    }
    let result = runtime.block_on(run(args, output, config));
    log::finish();
    result
}

impl ServeArgs {
    /// The configuration: flags, over the environment, over the file.
    fn configuration(&self) -> Result<ServiceConfig> {
        let mut config = ServiceConfig::load(self.config.as_deref())?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.data = self.data.clone().unwrap_or(config.data);
        config.capacity = self.capacity.or(config.capacity);
        config.queue = self.queue.clone().or(config.queue);
        config.role = self.role.unwrap_or(config.role);
        config.worker = self.worker.clone().or(config.worker);
        if let Some(url) = self.store.clone() {
            config.store = Some(StoreConfig { url, ..config.store.unwrap_or_default() });
        }
        config.check()?;
        Ok(config)
    }
}

async fn run(args: ServeArgs, output: OutputArgs, config: ServiceConfig) -> Result<()> {
    let stop = interrupted()?;
    let reloads = reload_requests()?;
    let service = Service::bind(config).await?;
    let url = format!("http://{}/", service.local_addr());
    if args.json {
        print_out!("{}", serde_json::json!({ "url": url, "key": service.first_key() }));
    } else {
        print_out!("The recorder service listens at {url} ({url}openapi.json describes it). Stop with Ctrl-C.");
        if let Some(key) = service.first_key() {
            print_out!("First key, shown this once: {key}");
        }
    }
    if let Some(mut reloads) = reloads {
        let mut running = service.reload();
        tokio::spawn(async move {
            while reloads.recv().await.is_some() {
                reload(&args, output, &mut running).await;
            }
        });
    }
    service.run(stop).await
}

/// Reads the configuration again. What is wrong in it changes nothing.
async fn reload(args: &ServeArgs, output: OutputArgs, running: &mut Reload) {
    let taken = async {
        let config = args.configuration()?;
        log::set_filter(&output.filter(config.log.as_deref()))?;
        running.apply(config).await
    };
    match taken.await {
        Ok(waiting) if waiting.is_empty() => tracing::warn!("the configuration was read again"),
        Ok(waiting) => {
            let keys = waiting.join(", ");
            tracing::warn!("the configuration was read again; restart the service for what changed in {keys}");
        }
        Err(e) => tracing::error!("the configuration stays as it was: {e}"),
    }
}
