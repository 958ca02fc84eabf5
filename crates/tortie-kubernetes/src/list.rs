//! Lists, page by page (datastore.md section 3.5).

use serde_json::Value;

use crate::failure::Failure;
use crate::group::Group;
use crate::page;
use crate::server::{Ask, METADATA_ONLY, Server};
use crate::source::Source;

/// Objects of one page.
const PAGE_LEN: &str = "500";

/// Which objects of a collection are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    /// Of a cluster-wide collection only this name.
    pub(crate) name: Option<String>,
}

/// How fresh a list is, and how much of each object it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// What is stored at this moment.
    Fresh,
    /// What the server has in its memory, which may be a little older.
    Cached,
    /// As `Fresh`, metadata only.
    Names,
}

/// What is kept of an object of a list, if anything: made of each as it is read, so that no list is held as the server
/// writes it.
pub(crate) type Take<'a, T> = &'a (dyn Fn(Value) -> Option<T> + Sync);

/// A whole list.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) objects: Vec<T>,
    pub(crate) revision: String,
}

impl Server {
    /// All objects of a collection.
    pub(crate) async fn list<T>(
        &self,
        source: Source,
        group: Group,
        filter: &Filter,
        want: Want,
        take: Take<'_, T>,
    ) -> Result<Listed<T>, Failure> {
        let mut ask = Ask::get(source.path(group, filter.namespace.as_deref()));
        if let Some(name) = &filter.name {
            ask = ask.with("fieldSelector", format!("metadata.name={name}"));
        }
        if want == Want::Names {
            ask.accept = METADATA_ONLY;
        }
        self.list_all(ask, want, take).await
    }

    /// All pages of a list.
    pub(crate) async fn list_all<T>(&self, ask: Ask, want: Want, take: Take<'_, T>) -> Result<Listed<T>, Failure> {
        self.list_from(ask, want, None, take).await
    }

    async fn list_from<T>(
        &self,
        ask: Ask,
        want: Want,
        token: Option<String>,
        take: Take<'_, T>,
    ) -> Result<Listed<T>, Failure> {
        match self.pages(ask.clone().with("limit", PAGE_LEN), want, token, take).await {
            // The pages that follow are gone, as they take too long or the server was restarted: all of it at once.
            Err(failure) if failure.is_expired() => self.pages(ask, want, None, take).await,
            done => done,
        }
    }

    async fn pages<T>(
        &self,
        ask: Ask,
        want: Want,
        token: Option<String>,
        take: Take<'_, T>,
    ) -> Result<Listed<T>, Failure> {
        let mut listed = Listed { objects: Vec::new(), revision: String::new() };
        let mut next = token;
        loop {
            let page = match next {
                Some(token) => ask.clone().with("continue", token),
                None if want == Want::Cached => {
                    ask.clone().with("resourceVersion", "0").with("resourceVersionMatch", "NotOlderThan")
                }
                None => ask.clone(),
            };
            let bytes = self.fetch_bytes(&page).await?;
            let page = page::read(&bytes, |object| listed.objects.extend(take(object))).map_err(Failure::Garbled)?;
            listed.revision = page.revision;
            next = page.next;
            if next.is_none() {
                return Ok(listed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tortie_testkit::apiserver::{ApiServer, User};

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn a_list_whose_next_page_is_gone_is_read_at_once() {
        let api = ApiServer::start(&[]);
        for name in ["a", "b", "c"] {
            api.kubectl_ok(&["create", "namespace", name], "");
        }
        let kubeconfig = Some(api.kubeconfig(User::Admin).to_string_lossy().into_owned());
        let runtime = tokio::runtime::Runtime::new().expect("a test has a runtime");
        runtime.block_on(async {
            let server = Server::new(Settings { kubeconfig, ..Settings::default() }).await.expect("settings are good");
            let ask = Ask::get(Source::Namespaces.path(Group::Native, None));
            let page = server.fetch(&ask.clone().with("limit", "1")).await.expect("a page");
            let token = page["metadata"]["continue"].as_str().expect("more follow").to_owned();
            api.kubectl_ok(&["create", "namespace", "later"], "");
            api.compact();
            api.kill();
            api.start_again();
            let name = |object: Value| object["metadata"]["name"].as_str().map(str::to_owned);
            let gone = server.pages(ask.clone(), Want::Fresh, Some(token.clone()), &name).await;
            assert!(gone.expect_err("the token is too old").is_expired());
            let listed = server.list_from(ask, Want::Fresh, Some(token), &name).await.expect("all of it");
            for name in ["a", "b", "c", "later"] {
                assert!(listed.objects.iter().any(|found| found == name), "{name} is missing: {listed:?}");
            }
        });
    }
}
