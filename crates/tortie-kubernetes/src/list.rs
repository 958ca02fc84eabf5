//! Lists, page by page (datastore.md section 3.5).

use serde_json::Value;

use crate::failure::Failure;
use crate::group::Group;
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

/// A whole list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Value>,
    pub(crate) revision: String,
}

impl Server {
    /// All objects of a collection.
    pub(crate) async fn list(
        &self,
        source: Source,
        group: Group,
        filter: &Filter,
        want: Want,
    ) -> Result<Listed, Failure> {
        let mut ask = Ask::get(source.path(group, filter.namespace.as_deref()));
        if let Some(name) = &filter.name {
            ask = ask.with("fieldSelector", format!("metadata.name={name}"));
        }
        if want == Want::Names {
            ask.accept = METADATA_ONLY;
        }
        self.list_all(ask, want).await
    }

    /// All pages of a list.
    pub(crate) async fn list_all(&self, ask: Ask, want: Want) -> Result<Listed, Failure> {
        self.list_from(ask, want, None).await
    }

    async fn list_from(&self, ask: Ask, want: Want, token: Option<String>) -> Result<Listed, Failure> {
        match self.pages(ask.clone().with("limit", PAGE_LEN), want, token).await {
            // The pages that follow are gone, as they take too long or the server was restarted: all of it at once.
            Err(failure) if failure.is_expired() => self.pages(ask, want, None).await,
            done => done,
        }
    }

    async fn pages(&self, ask: Ask, want: Want, token: Option<String>) -> Result<Listed, Failure> {
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
            let mut page = self.fetch(&page).await?;
            if let Some(Value::Array(objects)) = page.get_mut("items").map(Value::take) {
                listed.objects.extend(objects);
            }
            let metadata = &page["metadata"];
            listed.revision = metadata["resourceVersion"].as_str().unwrap_or_default().to_owned();
            next = metadata["continue"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
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
            let gone = server.pages(ask.clone(), Want::Fresh, Some(token.clone())).await;
            assert!(gone.expect_err("the token is too old").is_expired());
            let listed = server.list_from(ask, Want::Fresh, Some(token)).await.expect("all of it");
            let names: Vec<&str> = listed.objects.iter().filter_map(|o| o["metadata"]["name"].as_str()).collect();
            for name in ["a", "b", "c", "later"] {
                assert!(names.contains(&name), "{name} is missing: {names:?}");
            }
        });
    }
}
