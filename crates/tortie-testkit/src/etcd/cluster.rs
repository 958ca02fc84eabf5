//! Several members of one cluster.

use super::{Options, Place, Version, ask, wait_until_ready};
use crate::server::{Folder, Process, free_port};

/// A running cluster of three, without TLS and users.
pub struct Cluster {
    options: Options,
    members: Vec<(Place, Process)>,
    // After the processes, which write there.
    folder: Folder,
}

impl Cluster {
    /// Starts it and waits until every member answers.
    ///
    /// # Panics
    /// As [`super::Etcd::start`].
    pub fn start(version: Version) -> Cluster {
        let options = Options::plain(version);
        let folder = Folder::new().expect("a folder for etcd's data");
        let peers: Vec<(String, String)> =
            (0..3).map(|number| (format!("m{number}"), format!("http://127.0.0.1:{}", free_port()))).collect();
        let known: Vec<String> = peers.iter().map(|(name, peer)| format!("{name}={peer}")).collect();
        let place = |(name, peer)| Place { name, port: free_port(), peer, members: known.join(",") };
        let members = peers.into_iter().map(place).map(|place| {
            let process = place.run(&options, folder.path());
            (place, process)
        });
        let members = members.collect();
        let mut cluster = Cluster { options, members, folder };
        (0..3).for_each(|member| cluster.wait_for(member));
        cluster
    }

    /// The addresses of the members for clients.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|(place, _)| place.address(&self.options)).collect()
    }

    /// Kills one member.
    pub fn kill(&mut self, member: usize) {
        self.members[member].1.kill();
    }

    /// Starts one again on its data.
    pub fn restart(&mut self, member: usize) {
        let (place, process) = &mut self.members[member];
        process.kill();
        *process = place.run(&self.options, self.folder.path());
        self.wait_for(member);
    }

    fn wait_for(&mut self, member: usize) {
        let (options, folder) = (&self.options, self.folder.path());
        let (place, process) = &mut self.members[member];
        let is_ready = wait_until_ready(process, &folder.join(&place.name), || ask(options, folder, place, false));
        assert!(is_ready, "somebody else took a port of etcd");
    }
}
