//! The members of a bus as tower's `Discover`: what its `Balance` chooses from.
//!
//! In: the list of members, as it changes. Out: a service for each that fits, and removals. Touches nothing else.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream;
use kyneta_uds_bus::MemberId;
use kyneta_uds_core::PeerId;
use tower::discover::Change;

use super::{
    handle::{Bus, BusError, MembersWatch},
    info::MemberInfo,
    member::BusMember,
};

/// What has changed, as tower says it.
type MemberChange<M> = Change<PeerId, BusMember<M>>;

impl<M: 'static> Bus<M> {
    /// The other members that fit, as they come and go: a [`Discover`](tower::discover::Discover) of services, each of
    /// which asks one member. With tower's `Balance`, each request goes to a member that has few of them to answer:
    ///
    /// ```
    /// use kyneta_uds::{Bus, BusIncoming, Identity};
    /// use tower::{balance::p2c::Balance, load::{CompleteOnResponse, PendingRequestsDiscover}};
    /// use tower::{Service as _, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let answer = service_fn(async |incoming: BusIncoming<u32>| match incoming.request {
    ///     Some(request) => request.answer(&(incoming.message + 1)),
    ///     None => Ok(()),
    /// });
    /// let mut stocks = Vec::new();
    /// for id in ["stock-1", "stock-2"] {
    ///     let me = Identity::service(id)?.named("stock")?;
    ///     stocks.push(Bus::<u32>::builder(&path).identity(me).join(answer).await?);
    /// }
    /// let till = Bus::<u32>::builder(&path).identity(Identity::service("till")?).join(answer).await?;
    ///
    /// let stocks_now = till.discover(|member| member.name.as_ref().is_some_and(|name| name.as_str() == "stock"));
    /// let loads = PendingRequestsDiscover::new(stocks_now, CompleteOnResponse::default());
    /// let mut balance = Balance::new(loads);
    /// assert_eq!(balance.ready().await?.call(1).await?, 2);
    ///
    /// stocks.remove(0).dispose().await; // the other one is asked from now on
    /// assert_eq!(balance.ready().await?.call(2).await?, 3);
    /// # drop(balance);
    /// # till.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A member that has started again is inserted again, under the same key: its id. One that leaves is removed, and
    /// what it was asked fails with [`RequestError::Left`](super::RequestError::Left). While there is none, `Balance`
    /// waits for one: put a timeout around it. When this member has ended, the stream yields [`BusError::Ended`] and ends.
    ///
    /// It keeps this member on the bus, as each clone of the handle does.
    pub fn discover<F>(&self, fits: F) -> BusDiscover<M>
    where
        F: FnMut(&MemberInfo) -> bool + Send + 'static,
    {
        let watch = self.watch_members();
        let state = Discovering {
            bus: self.clone(),
            fits,
            watch,
            given: BTreeMap::new(),
            changes: VecDeque::new(),
            is_new: true,
            is_over: false,
        };
        BusDiscover {
            changes: Box::pin(stream::unfold(state, Discovering::next)),
        }
    }
}

/// The members that fit, as they come and go: see [`Bus::discover`].
pub struct BusDiscover<M> {
    changes: Pin<Box<dyn Stream<Item = Result<MemberChange<M>, BusError>> + Send>>,
}

impl<M> Stream for BusDiscover<M> {
    type Item = Result<MemberChange<M>, BusError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.as_mut().poll_next(cx)
    }
}

impl<M> fmt::Debug for BusDiscover<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusDiscover").finish_non_exhaustive()
    }
}

struct Discovering<M, F> {
    bus: Bus<M>,
    fits: F,
    watch: MembersWatch,
    /// Those that were inserted and not removed.
    given: BTreeMap<PeerId, MemberId>,
    changes: VecDeque<MemberChange<M>>,
    is_new: bool,
    is_over: bool,
}

impl<M, F: FnMut(&MemberInfo) -> bool> Discovering<M, F> {
    async fn next(mut self) -> Option<(Result<MemberChange<M>, BusError>, Self)> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Some((Ok(change), self));
            }
            if self.is_over {
                return None;
            }
            if std::mem::take(&mut self.is_new) {
                self.compare(&self.watch.get());
                continue;
            }
            let ended = tokio::select! {
                biased;
                () = self.bus.closed() => None,
                list = self.watch.changed() => list,
            };
            match ended {
                Some(list) => self.compare(&list),
                None => {
                    self.is_over = true;
                    return Some((Err(BusError::Ended), self));
                }
            }
        }
    }

    /// What is to be removed and inserted, so that these are given.
    fn compare(&mut self, list: &[Arc<MemberInfo>]) {
        let fits = &mut self.fits;
        let now: BTreeMap<_, _> = list
            .iter()
            .filter(|member| fits(member))
            .map(|member| (member.id.clone(), member.member_id()))
            .collect();
        let gone = self.given.keys().filter(|id| !now.contains_key(*id));
        self.changes.extend(gone.cloned().map(Change::Remove));
        for (id, member) in &now {
            if self.given.get(id) != Some(member) {
                let service = BusMember::new(self.bus.clone(), member.clone());
                self.changes.push_back(Change::Insert(id.clone(), service));
            }
        }
        self.given = now;
    }
}
