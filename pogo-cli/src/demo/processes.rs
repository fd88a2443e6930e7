//! Members that are processes of their own, killed with -9.

use std::time::Duration;

use pogo::ChildSpec;

use super::{DemoError, cast::Cast, event::Seat};
use crate::fleet::Fleet;

impl Cast for Fleet {
    async fn start_all(&mut self, names: &[String]) -> Result<(), DemoError> {
        Ok(Self::start_all(self, names).await?)
    }

    async fn start(&mut self, name: &str) -> Result<Duration, DemoError> {
        Ok(Self::start(self, name).await?)
    }

    fn seat(&self, name: &str) -> Option<Seat> {
        let member = self.member(name)?;
        Some(Seat { pid: member.pid, http: member.client.address() })
    }

    async fn start_children(&mut self, specs: Vec<ChildSpec>) -> Result<(), DemoError> {
        let members = self.members();
        let member = members.first().ok_or(DemoError::NoMember)?;
        Ok(member.client.start_children(&specs).await?)
    }

    async fn kill(&mut self, name: &str) -> Result<Duration, DemoError> {
        let killed = Self::kill(self, name).await?;
        let now = self.ledger().now();
        Ok(killed.map_or(now, |killed| self.ledger().at(killed.at)))
    }

    async fn shutdown(&mut self) {
        self.stop().await;
    }
}
