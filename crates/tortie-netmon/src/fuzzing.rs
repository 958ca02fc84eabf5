//! What the fuzz targets call: listings and answers without a kernel. No part of the API.

use std::io;

use tortie_api::facts::{Links, Toward};

use crate::{datagram, routes, table};

/// The table of links in the datagrams of a listing of links and of one of addresses.
///
/// # Errors
/// As for [`crate::list_now`].
pub fn links(links: &[u8], addresses: &[u8], sequence: u32) -> io::Result<Links> {
    let (mut found, mut of_links) = (Vec::new(), Vec::new());
    datagram(links, sequence, &mut found, &mut true)?;
    datagram(addresses, sequence, &mut of_links, &mut true)?;
    Ok(table(&found, &of_links))
}

/// What an answer says of a route; `None` when it answers something else.
///
/// # Errors
/// As for [`crate::Routes::toward`].
pub fn toward(answer: &[u8], sequence: u32, links: &Links) -> io::Result<Option<Toward>> {
    Ok(routes::answer(answer, sequence)?.and_then(|route| routes::read(&route, links)))
}
