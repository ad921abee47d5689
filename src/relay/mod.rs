//! WHIP (RFC 9725) and WHEP sessions of rooms: a WHIP client becomes a participant, a WHEP client receives one. Encoded frames are forwarded,
//! never transcoded. It joins rooms by `trait Signaller` and knows no HTTP: the server maps each [`RequestError`] to a status.

mod http_peer;
mod offers;
mod outputs;
mod request;
mod whep;
mod whip;

pub use request::{Limits, NewSession, PatchOutcome, RequestError, RoomFactory, SessionRequest};
pub use whep::Watched;
pub use whip::Publication;

use crate::room::description::IceServer;
use crate::rtc::check_description;
use crate::signal::whip_whep::fragment::Fragment;
use http_peer::{HttpPeer, RemoteOffer};
use rand::Rng;
use rand::distr::Alphanumeric;
use request::{Request, Requests};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use whep::{ViewRequest, WhepSource};
use whip::Publisher;

/// Requests that wait for a session (policy Block: HTTP clients wait).
const REQUESTS: usize = 16;

/// All WHIP and WHEP sessions. Dropping it ends them.
pub struct Relay {
    room_factory: RoomFactory,
    ice_servers: Vec<IceServer>,
    limits: Limits,
    publishers: Arc<Semaphore>,
    viewers: Arc<Semaphore>,
    open: Arc<Mutex<Open>>,
}

/// A session, as its address finds it.
struct Known {
    requests: mpsc::Sender<Request>,
    bearer: bool,
}

#[derive(Default)]
struct Open {
    sessions: HashMap<String, Known>,
    audiences: HashMap<(String, String), mpsc::Sender<ViewRequest>>,
}

impl Relay {
    /// A relay into the rooms that `room_factory` joins.
    pub fn new(room_factory: RoomFactory, ice_servers: Vec<IceServer>, limits: Limits) -> Relay {
        Relay {
            room_factory,
            ice_servers,
            limits,
            publishers: Arc::new(Semaphore::new(limits.publishers)),
            viewers: Arc::new(Semaphore::new(limits.viewers)),
            open: Arc::default(),
        }
    }

    /// Starts a WHIP session.
    ///
    /// # Errors
    /// Why not; then nobody in the room has seen them for long.
    pub async fn publish(&self, what: Publication, call: SessionRequest) -> Result<NewSession, RequestError> {
        check_description("offer", &call.offer).map_err(RequestError::Offer)?;
        let bearer = call.bearer;
        let place = place(&self.publishers, self.limits.publishers, "publishers")?;
        let who = format!("{:?} in {}", what.name, what.room);
        let (publisher, sdp) = Publisher::start(&self.room_factory, what, self.caller(call)).await?;
        let etag = publisher.etag().to_owned();
        let (id, requests) = self.register(bearer);
        tracing::info!("{who} sends from outside");
        self.work(&id, place, async move {
            let why = publisher.run(requests).await;
            tracing::info!("{who} sends no more: {why}");
        });
        Ok(NewSession { id, etag, sdp, counter_offer: false })
    }

    /// Starts a WHEP session.
    ///
    /// # Errors
    /// Why not.
    pub async fn watch(&self, whom: Watched, call: SessionRequest) -> Result<NewSession, RequestError> {
        check_description("offer", &call.offer).map_err(RequestError::Offer)?;
        let bearer = call.bearer;
        let place = place(&self.viewers, self.limits.viewers, "viewers")?;
        let who = format!("{:?} in {}", whom.name, whom.room);
        let (reply, answer) = oneshot::channel();
        self.audience(whom).send(reply).await.map_err(|_| RequestError::Gone)?;
        let (tracks, viewer) = answer.await.map_err(|_| RequestError::Gone)??;
        let fits = offers::takes(&call.offer, &tracks);
        let (peer, sdp) = match fits {
            true => HttpPeer::answer(self.caller(call), tracks).await?,
            false => HttpPeer::offer(self.caller(call), tracks).await?,
        };
        let etag = peer.etag().to_owned();
        let (id, requests) = self.register(bearer);
        tracing::info!("{who} is watched from outside");
        self.work(&id, place, async move {
            let why = whep::serve(peer, viewer, requests).await;
            tracing::info!("a viewer of {who} has gone: {why}");
        });
        Ok(NewSession { id, etag, sdp, counter_offer: !fits })
    }

    /// Candidates or an ICE restart for a session. `wanted` is the entity tag that they believe in, or `*`.
    ///
    /// # Errors
    /// There is none such, or what they say does not fit it.
    pub async fn patch(&self, id: &str, wanted: String, fragment: Fragment) -> Result<PatchOutcome, RequestError> {
        self.request(id, |reply| Request::Patch { wanted, fragment, reply }).await
    }

    /// The answer to a counter-offer.
    ///
    /// # Errors
    /// There is no such session, it has made no offer, or the answer is none.
    pub async fn answer(&self, id: &str, sdp: String) -> Result<(), RequestError> {
        self.request(id, |reply| Request::Answer { sdp, reply }).await
    }

    /// Ends a session and waits until it has left its room.
    ///
    /// # Errors
    /// There is none such.
    pub async fn end(&self, id: &str) -> Result<(), RequestError> {
        let session = self.lock().sessions.remove(id).ok_or(RequestError::Gone)?.requests;
        session.send(Request::End).await.map_err(|_| RequestError::Gone)?;
        session.closed().await;
        Ok(())
    }

    /// Whether there is such a session, and if so, whether it was begun with a bearer token.
    pub fn knows(&self, id: &str) -> Option<bool> {
        self.lock().sessions.get(id).map(|session| session.bearer)
    }

    async fn request<T>(
        &self,
        id: &str,
        request: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> Request,
    ) -> Result<T, RequestError> {
        let session = self.lock().sessions.get(id).map(|session| session.requests.clone()).ok_or(RequestError::Gone)?;
        let (reply, answer) = oneshot::channel();
        session.send(request(reply)).await.map_err(|_| RequestError::Gone)?;
        answer.await.map_err(|_| RequestError::Gone)?
    }

    fn caller(&self, call: SessionRequest) -> RemoteOffer {
        RemoteOffer { offer: call.offer, near: call.near, ice_servers: self.ice_servers.clone() }
    }

    fn register(&self, bearer: bool) -> (String, Requests) {
        let id: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        let (sender, requests) = mpsc::channel(REQUESTS);
        self.lock().sessions.insert(id.clone(), Known { requests: sender, bearer });
        (id, requests)
    }

    /// Runs a session's task; its place and its name are free again after it.
    fn work(&self, id: &str, place: OwnedSemaphorePermit, task: impl Future<Output = ()> + Send + 'static) {
        let (open, id) = (self.open.clone(), id.to_owned());
        tokio::spawn(async move {
            task.await;
            lock(&open).sessions.remove(&id);
            drop(place);
        });
    }

    /// How a WHEP source joins its room when its first viewer comes.
    fn audience(&self, whom: Watched) -> mpsc::Sender<ViewRequest> {
        let key = (whom.room.clone(), whom.name.clone());
        let mut open = self.lock();
        if let Some(audience) = open.audiences.get(&key).filter(|audience| !audience.is_closed()) {
            return audience.clone();
        }
        let (asks, mut asked) = mpsc::channel(REQUESTS);
        open.audiences.insert(key.clone(), asks.clone());
        let (room_factory, list) = (self.room_factory.clone(), self.open.clone());
        tokio::spawn(async move {
            match WhepSource::start(&room_factory, whom).await {
                Ok(audience) => audience.run(asked).await,
                Err(refused) => {
                    asked.close();
                    while let Ok(request) = asked.try_recv() {
                        let _ = request.send(Err(refused.clone()));
                    }
                }
            }
            let mut list = lock(&list);
            if list.audiences.get(&key).is_some_and(mpsc::Sender::is_closed) {
                list.audiences.remove(&key);
            }
        });
        asks
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Sessions end when nobody can request them anything any more.
        let mut open = self.lock();
        open.sessions.clear();
        open.audiences.clear();
    }
}

fn place(places: &Arc<Semaphore>, most: usize, what: &str) -> Result<OwnedSemaphorePermit, RequestError> {
    places.clone().try_acquire_owned().map_err(|_| RequestError::Full(format!("there are {most} {what} already")))
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    // Nothing that can panic runs under the lock.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
