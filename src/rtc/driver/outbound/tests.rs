//! Who sends, and that what we send is what the library would have sent.

use super::*;
use crate::rtc::driver::keys::WatchedProvider;
use crate::rtc::egress::tests::packet;
use crate::rtc::transport::batch::Written;
use rtc::crypto::{RTCCryptoProvider, default_provider};
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

const KEYS: [[u8; 16]; 2] = [[1; 16], [2; 16]];
const SALT: [u8; 12] = [3; 12];

/// Keeps what is sent.
#[derive(Default)]
struct Socket(Mutex<usize>);

impl BatchSocket for Socket {
    fn send_batch(&self, batch: &Batch, _: SocketAddr) -> Written {
        *self.0.lock().unwrap() += batch.len();
        Written { calls: 1, sent: batch.len(), dropped: 0 }
    }
}

fn context(key: [u8; 16], provider: &dyn RTCCryptoProvider) -> Context {
    Context::new(&key, &SALT, ProtectionProfile::AeadAes128Gcm, None, None, provider.crypto()).unwrap()
}

/// A connection after its handshake, and what the library seals with.
fn connected() -> (Outbound, Context) {
    let keyring = Arc::<Keyring>::default();
    let provider = WatchedProvider::new(vec![keyring.clone()]).unwrap();
    let [ours, _theirs] = KEYS.map(|key| context(key, &provider));
    (Outbound::new(Some(keyring), false), ours)
}

const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

fn to() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[test]
fn media_goes_our_way_once_a_packet_of_the_library_proves_the_key() {
    let (outbound, mut library) = connected();
    let (socket, frame) = (Arc::new(Socket::default()), Arc::new(vec![packet(5, 10), packet(6, 10)]));
    let sealed = library.encrypt_rtcp(&REPORT).unwrap();
    outbound.observe(&socket, &sealed, to());
    assert!(!outbound.is_own(), "nobody has said how packets are protected");
    outbound.set_profile(Some(Profile::Gcm128));
    outbound.observe(&socket, &[22; 20], to());
    let mut forged = library.encrypt_rtcp(&REPORT).unwrap();
    forged[8] ^= 1;
    outbound.observe(&socket, &forged, to());
    assert!(!outbound.is_own(), "that was none of its packets");
    outbound.send(7, 1, &frame);
    outbound.observe(&socket, &library.encrypt_rtcp(&REPORT).unwrap(), to());
    assert!(outbound.is_own());
    outbound.set_stream(7, None, 90_000, SendFormat { payload_type: 96, ..SendFormat::default() });
    outbound.send(7, 1, &frame);
    assert_eq!(*socket.0.lock().unwrap(), 2);
    drop(socket);
    outbound.send(7, 1, &frame);
    assert_eq!(outbound.lock().dropped, 2, "there is no path any more");
}

#[test]
fn a_key_of_another_connection_proves_nothing() {
    let (outbound, _) = connected();
    outbound.set_profile(Some(Profile::Gcm128));
    let mut other = context([9; 16], &*default_provider().unwrap());
    outbound.observe(&Arc::new(Socket::default()), &other.encrypt_rtcp(&REPORT).unwrap(), to());
    assert!(!outbound.is_own());
}

#[test]
fn without_keys_the_library_sends() {
    let outbound = Outbound::new(None, true);
    assert_eq!((*outbound.way.borrow(), outbound.measures()), (Some(Way::Library), true));
}
