//! An opened store: where objects go, and what the store can do.

use super::error::StorageError;
use super::settings::{StoreConfig, public_address};
use crate::error::{Error, Result};
use crate::service::model::StoreName;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How often the library repeats a request by itself; the service repeats the rest.
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take: 8 MiB at 0.3 Mbit/s.
const REQUEST_TIMEOUT: &str = "240s";

/// An opened store.
#[derive(Clone)]
pub struct Target {
    pub name: StoreName,
    /// Its address without credentials.
    pub address: String,
    /// Whether readers are sent to signed addresses.
    pub redirect: bool,
    pub(super) prefix: Path,
    pub(super) store: Arc<dyn ObjectStore>,
    /// Parts that can be continued after a crash; a local folder has none.
    pub(super) multipart: Option<Arc<dyn MultipartStore>>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    /// Whether objects carry attributes.
    pub(super) attributes: bool,
}

impl Target {
    /// Opens it. Asks nothing of the network.
    ///
    /// # Errors
    /// The user's: an address or an option that cannot be used.
    pub fn open(name: StoreName, config: &StoreConfig) -> Result<Target> {
        let word = name.word();
        let wrong = |problem: String| Error::user(format!("{word}: {problem}"));
        let address = public_address(&config.url);
        let url = Url::parse(&config.url).map_err(|e| wrong(format!("url: {address:?} is no address: {e}")))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url)
            .map_err(|_| wrong(format!("url: {address:?}: must be s3://, gs://, az:// or file:///")))?;
        let options = values(&scheme, &config.options).map_err(|problem| wrong(format!("options: {problem}")))?;
        // rustls needs a default cryptography provider; installing it twice changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let failed = |e: object_store::Error| Error::user(format!("{word}: {e}")).because(e);
        let plain = options.values().any(|value| value.starts_with("http://"));
        let client = [(ClientConfigKey::Timeout, REQUEST_TIMEOUT), (ClientConfigKey::AllowHttp, "true")];
        let client = client.into_iter().filter(|(key, _)| plain || *key != ClientConfigKey::AllowHttp);
        let opened = match scheme {
            ObjectStoreScheme::Local if !prefix.as_ref().is_empty() && options.is_empty() => {
                Opened { multipart: None, signer: None, attributes: false, store: Arc::new(local()) }
            }
            ObjectStoreScheme::Local => return Err(wrong("url: must be file:///PATH, without options".into())),
            ObjectStoreScheme::AmazonS3 => {
                let mut builder = AmazonS3Builder::from_env().with_url(config.url.clone()).with_retry(retry);
                for (key, value) in client {
                    builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
                }
                for (key, value) in keys::<AmazonS3ConfigKey>(&options) {
                    builder = builder.with_config(key, value);
                }
                Opened::cloud(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_url(config.url.clone()).with_retry(retry);
                for (key, value) in client {
                    builder = builder.with_config(GoogleConfigKey::Client(key), value);
                }
                for (key, value) in keys::<GoogleConfigKey>(&options) {
                    builder = builder.with_config(key, value);
                }
                Opened::cloud(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let mut builder = MicrosoftAzureBuilder::from_env().with_url(config.url.clone()).with_retry(retry);
                for (key, value) in client {
                    builder = builder.with_config(AzureConfigKey::Client(key), value);
                }
                for (key, value) in keys::<AzureConfigKey>(&options) {
                    builder = builder.with_config(key, value);
                }
                Opened::cloud(builder.build().map_err(failed)?)
            }
            _ => return Err(wrong(format!("url: {address:?}: must be s3://, gs://, az:// or file:///"))),
        };
        let Opened { store, multipart, signer, attributes } = opened;
        Ok(Target { name, address, redirect: config.redirect, prefix, store, multipart, signer, attributes })
    }

    /// The key of a file of the recording at `location`.
    pub(super) fn key(&self, location: &str, path: &str) -> std::result::Result<Path, StorageError> {
        let whole = [self.prefix.as_ref(), location, path].into_iter().filter(|part| !part.is_empty());
        let whole: Vec<_> = whole.collect();
        Path::parse(whole.join("/")).map_err(|_| StorageError::Name(path.to_owned()))
    }

    /// The address of the recording at `location`.
    pub fn address_of(&self, location: &str) -> String {
        format!("{}/{location}", self.address.trim_end_matches('/'))
    }
}

struct Opened {
    store: Arc<dyn ObjectStore>,
    multipart: Option<Arc<dyn MultipartStore>>,
    signer: Option<Arc<dyn Signer>>,
    attributes: bool,
}

impl Opened {
    fn cloud<T: ObjectStore + MultipartStore + Signer>(store: T) -> Opened {
        let store = Arc::new(store);
        Opened { store: store.clone(), multipart: Some(store.clone()), signer: Some(store), attributes: true }
    }
}

/// Everything below the root: the folder of the store need not exist yet. What it says is written is on the disk.
fn local() -> LocalFileSystem {
    LocalFileSystem::new().with_fsync(true).with_automatic_cleanup(true)
}

/// The options with the contents of those files that `…_file` names.
fn values(
    scheme: &ObjectStoreScheme,
    options: &BTreeMap<String, String>,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let known = |name: &str| match scheme {
        ObjectStoreScheme::AmazonS3 => AmazonS3ConfigKey::from_str(name).is_ok(),
        ObjectStoreScheme::GoogleCloudStorage => GoogleConfigKey::from_str(name).is_ok(),
        ObjectStoreScheme::MicrosoftAzure => AzureConfigKey::from_str(name).is_ok(),
        _ => false,
    };
    let mut values = BTreeMap::new();
    for (name, value) in options {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix("_file") {
            // Some stores have options of that name.
            _ if known(&name) => values.insert(name, value.clone()),
            Some(of) if known(of) => {
                let text =
                    std::fs::read_to_string(value).map_err(|e| format!("{name}: {value} cannot be read: {e}"))?;
                values.insert(of.to_owned(), text.trim_end_matches(['\n', '\r']).to_owned())
            }
            _ => return Err(format!("{name} is no option of this store")),
        };
    }
    Ok(values)
}

fn keys<K: FromStr>(options: &BTreeMap<String, String>) -> impl Iterator<Item = (K, String)> {
    options.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())))
}

#[cfg(test)]
impl Target {
    /// A store that a test brings.
    pub(super) fn of(store: Arc<dyn ObjectStore>, multipart: Option<Arc<dyn MultipartStore>>) -> Target {
        Target {
            name: StoreName::Main,
            address: "memory:///".into(),
            redirect: false,
            prefix: Path::from("prefix"),
            store,
            multipart,
            signer: None,
            attributes: true,
        }
    }
}
