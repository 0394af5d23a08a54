//! `delete`: takes one object away.

use super::args::Delete;
use super::client::Client;
use super::error::Error;
use super::output;

pub(super) async fn run(client: &Client, delete: &Delete) -> Result<(), Error> {
    let Delete { kind, name, namespace } = delete;
    match client.delete(&kind.object(namespace.name(), name)).await {
        Ok(()) => output::print(&format!("{kind}/{name} deleted\n")),
        Err(Error::Api { status: 404, .. }) => Err(Error::NotFound(format!("there is no {kind} {name}"))),
        Err(e) => Err(e),
    }
}
