//! How a newcomer learns which node it is: it asks those who are members who is awaited at its address.

use crate::configuration::{Configuration, Member, text};
use crate::hello::{About, Hello, HelloError, Service, Versions, WITH_CONFIGURATIONS, Welcome};
use abd::NodeId;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// What a member has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This node is awaited there. The configuration names no directories: each member shows its own when it is met.
    Awaited(NodeId, Configuration),
    /// Nobody is.
    Nobody {
        /// The epoch of its configuration.
        epoch: u32,
        /// The members, as in `--cluster`.
        members: String,
        /// Who is awaited elsewhere, in the same form.
        awaited: String,
    },
}

fn versions() -> Versions {
    Versions::only(WITH_CONFIGURATIONS)
}

/// The body of the question: who is at this peer address, HOST:PORT?
pub fn question(address: &str) -> Bytes {
    let hello = Hello {
        versions: versions(),
        service: Service::Join,
        lane: None,
        about: About::of_a_stranger(),
        address: Some(address.into()),
    };
    let mut body = BytesMut::new();
    hello.put(&mut body);
    body.freeze()
}

/// Reads the body of the answer.
///
/// # Errors
/// [`HelloError`]: who answered is no member of a cluster that could take a newcomer.
pub fn answer(body: Bytes, address: &str) -> Result<Answer, HelloError> {
    let Welcome { about, configuration, .. } = Welcome::get(body, versions())?;
    let awaited: Vec<Member> = configuration.iter().flat_map(Configuration::awaited).cloned().collect();
    let own = awaited.iter().find(|awaited| awaited.address == address);
    if let (Some(own), Some(configuration)) = (own, configuration) {
        return Ok(Answer::Awaited(own.id, configuration));
    }
    let (epoch, members) = (about.epoch.unwrap_or(1), about.cluster);
    Ok(Answer::Nobody { epoch, members, awaited: text(&awaited) })
}
