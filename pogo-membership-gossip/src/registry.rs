//! Which transports run in this process, so that supervisors with the same settings share one.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use pogo_core::membership::MembershipError;
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::{
    config::NAME,
    sockets::{Settings, Transport, start},
};

/// Transports by their settings.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    places: Mutex<Vec<Arc<Place>>>,
}

/// Where a transport with certain settings runs, ran, or begins.
#[derive(Debug)]
struct Place {
    settings: Settings,
    /// Held by the one who starts it.
    starting: AsyncMutex<()>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    transport: Weak<Transport>,
    /// Ends when the sockets are closed.
    sockets: Option<watch::Receiver<()>>,
}

impl Registry {
    /// The one of the process.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Registry>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(Arc::default))
    }

    /// The transport with these settings, started where none runs.
    ///
    /// # Errors
    /// [`MembershipError`]; nothing was started.
    ///
    /// # Cancel safety
    /// Dropping the future ends what it has started.
    pub(crate) async fn transport(
        &self,
        settings: Settings,
    ) -> Result<Arc<Transport>, MembershipError> {
        let (place, neighbours) = self.place(&settings);
        for neighbour in neighbours {
            neighbour.make_room(&settings).await?;
        }
        let _starting = place.starting.lock().await;
        if let Some(transport) = place.transport() {
            return Ok(transport);
        }
        place.closed().await;
        let (open, sockets) = watch::channel(());
        place.running().sockets = Some(sockets);
        let transport = Arc::new(start(settings, open).await?);
        place.running().transport = Arc::downgrade(&transport);
        Ok(transport)
    }

    /// All that run, with their settings.
    pub(crate) fn running(&self) -> Vec<(Settings, Arc<Transport>)> {
        let places = lock(&self.places);
        let running = places.iter().filter_map(|it| Some((it.settings.clone(), it.transport()?)));
        running.collect()
    }

    /// The place of these settings, and others that listen on the same address.
    fn place(&self, settings: &Settings) -> (Arc<Place>, Vec<Arc<Place>>) {
        let mut places = lock(&self.places);
        places.retain(|place| Arc::strong_count(place) > 1 || place.is_in_use());
        let bind = settings.config.bind;
        let is_neighbour = |place: &&Arc<Place>| {
            bind.port() != 0 && place.settings.config.bind == bind && place.settings != *settings
        };
        let neighbours = places.iter().filter(is_neighbour).cloned().collect();
        if let Some(place) = places.iter().find(|place| place.settings == *settings) {
            return (Arc::clone(place), neighbours);
        }
        let place = Arc::new(Place {
            settings: settings.clone(),
            starting: AsyncMutex::default(),
            running: Mutex::default(),
        });
        places.push(Arc::clone(&place));
        (place, neighbours)
    }
}

impl Place {
    fn running(&self) -> MutexGuard<'_, Running> {
        lock(&self.running)
    }

    fn transport(&self) -> Option<Arc<Transport>> {
        self.running().transport.upgrade().filter(|transport| transport.is_running())
    }

    fn is_in_use(&self) -> bool {
        let running = self.running();
        // An error tells that the other end has gone.
        running.sockets.as_ref().is_some_and(|sockets| sockets.has_changed().is_ok())
    }

    /// Waits until the sockets of a transport that has ended are closed.
    async fn closed(&self) {
        let sockets = self.running().sockets.take();
        if let Some(mut sockets) = sockets {
            while sockets.changed().await.is_ok() {}
        }
    }

    /// Waits until the address is free for a transport with other settings.
    async fn make_room(&self, other: &Settings) -> Result<(), MembershipError> {
        let _starting = self.starting.lock().await;
        if self.transport().is_none() {
            self.closed().await;
            return Ok(());
        }
        let Settings { config, cluster } = other;
        let what = if self.settings.cluster == *cluster {
            "with other settings: give supervisors that share an address the same URL".to_owned()
        } else {
            let theirs = &self.settings.cluster;
            format!("for cluster {theirs:?}: give cluster {cluster:?} another port")
        };
        let reason = format!("this process listens on {} already {what}", config.bind);
        Err(MembershipError::Misconfigured { backend: NAME, reason })
    }
}

/// What a panic left behind is still whole: all is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
