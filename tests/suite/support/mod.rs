//! What the tests share. Every wait has a deadline; every port, folder and process is the test's own.

pub mod back;
pub mod behaviour;
pub mod bot;
pub mod breaker;
pub mod browser;
pub mod candidates;
pub mod cargo;
pub mod chaos;
pub mod chatter;
pub mod controller;
pub mod counter;
pub mod dashboard;
pub mod dump;
pub mod echoes;
pub mod endpoint;
pub mod ffmpeg;
pub mod foreign;
pub mod forwarding;
pub mod glass;
pub mod janus;
pub mod line;
pub mod machine;
pub mod machines;
pub mod meeting;
pub mod member;
pub mod nats;
pub mod needs;
pub mod networks;
pub mod others;
pub mod outage;
pub mod pair;
pub mod player;
pub mod probe;
pub mod proxy;
pub mod raw;
pub mod receiver;
pub mod recorder;
pub mod sender;
pub mod server;
pub mod service;
pub mod sight;
pub mod store;
pub mod stranger;
pub mod studio;
pub mod synthetic;
pub mod talkers;
pub mod tape;
pub mod twin;
pub mod venue;
pub mod wait;
pub mod witness;
pub mod writer;
pub mod written;

pub use wait::*;

/// With ROOMBOT_LOG set, the log of the parts goes to stderr.
pub fn log() {
    if let Ok(filter) = std::env::var("ROOMBOT_LOG") {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}
