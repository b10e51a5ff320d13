//! Lists: in pages, converted page by page, so that a large cluster needs no large memory; each object by itself, so that one
//! that does not decode ends no list.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::try_join_all;
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Client, Resource,
    api::{Api, ApiResource, DynamicObject, ListParams, ObjectList, PartialObjectMeta},
    core::{NamespaceResourceScope, Request},
};
use serde::de::DeserializeOwned;
use upkeep::{
    Error, Result,
    client::{Connection, Decoded, Item, Unread, pages},
    report::{ObjRef, Seen},
};

use crate::facts::{Meta, Node, Partial, Uid};

/// Nodes, of which one that does not decode is read in part.
pub type Nodes = Api<Item<core::Node>>;

/// From so many namespaces on, one list of everything is cheaper.
const FEW: usize = 8;

/// Lists of one cluster.
#[derive(Clone)]
pub struct Lists {
    connection: Connection,
    chunk: u32,
    partial: Arc<Mutex<BTreeSet<Partial>>>,
}

impl Lists {
    /// `chunk` is the size of a page; 0 asks for everything at once.
    pub fn new(connection: &Connection, chunk: u32) -> Self {
        Self {
            connection: connection.clone(),
            chunk,
            partial: Arc::default(),
        }
    }

    /// Objects of these lists that could be decoded only in part.
    pub fn partial(&self) -> Vec<Partial> {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.iter().cloned().collect()
    }

    /// What is kept of an object of a list. One of which not even the name is known is nothing that anything can be done
    /// with; that there is one is kept.
    fn keep<K, T>(&self, place: usize, item: Item<K>, of: impl FnOnce(K) -> T) -> Option<T>
    where
        K: Resource<DynamicType = ()>,
    {
        let is_named = item.has_name();
        if let Some(unread) = item.unread() {
            let meta = item.meta();
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let group = K::group(&());
            let dot = if group.is_empty() { "" } else { "." };
            let object = ObjRef {
                kind: format!("{}{dot}{group}", K::kind(&()).to_lowercase()),
                namespace: meta.namespace.clone(),
                name: if is_named { text(&meta.name) } else { nth(place) },
                uid: text(&meta.uid),
            };
            self.note(object, unread);
        }
        is_named.then(|| of(item.into_inner()))
    }

    fn note(&self, object: ObjRef, unread: &Unread) {
        let partial = Partial {
            object,
            lost: unread.lost,
            why: unread.why.clone(),
        };
        self.partial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partial);
    }

    /// All objects of a kind that this build has no type for, in one namespace or everywhere.
    ///
    /// # Errors
    /// The server's.
    pub async fn dynamic(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
    ) -> std::result::Result<Vec<DynamicObject>, kube::Error> {
        let path = Request::new(DynamicObject::url_path(resource, namespace));
        let fetch = async |params: ListParams| {
            let request = path.list(&params).map_err(kube::Error::BuildRequest)?;
            self.client()
                .request::<ObjectList<Decoded<DynamicObject>>>(request)
                .await
        };
        let read = |place, found: Decoded<DynamicObject>| {
            if let Some(unread) = &found.unread {
                let dot = if resource.group.is_empty() { "" } else { "." };
                let name = found.name;
                let object = ObjRef {
                    kind: format!("{}{dot}{}", resource.kind.to_lowercase(), resource.group),
                    namespace: Some(name.namespace).filter(|namespace| !namespace.is_empty()),
                    name: Some(name.name)
                        .filter(|name| !name.is_empty())
                        .unwrap_or_else(|| nth(place)),
                    uid: name.uid,
                };
                self.note(object, unread);
            }
            found.object
        };
        pages(fetch, ListParams::default(), self.chunk, read).await
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.connection.client.clone()
    }

    /// The error as kubectl would print it.
    pub fn explain(&self, error: &kube::Error) -> Error {
        self.connection.explain(error)
    }

    /// All objects of a kind in the whole cluster, from a consistent list.
    ///
    /// # Errors
    /// The server's.
    pub async fn all<K, T>(&self, params: ListParams) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default,
        T: From<K>,
    {
        self.read(&Api::all(self.client()), params, T::from).await
    }

    /// The same, where a list that lacks an object would be taken for less than there is: an object without a name fails it.
    ///
    /// # Errors
    /// The server's; an object of which nothing could be read.
    pub async fn whole<K, T>(&self, params: ListParams) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default,
        T: From<K>,
    {
        let nameless = Cell::new(None);
        let api = Api::<Item<K>>::all(self.client());
        let read = |place, item: Item<K>| {
            let named = item.has_name().then(|| T::from(item.into_inner()));
            nameless.set(nameless.get().or_else(|| named.is_none().then_some(place)));
            named
        };
        let found = pages(async |params| api.list(&params).await, params, self.chunk, read).await?;
        match nameless.get() {
            None => Ok(found),
            Some(place) => Err(kube::Error::SerdeError(serde::de::Error::custom(format!(
                "object {place} of the list of {} has no name that can be read",
                K::plural(&())
            )))),
        }
    }

    async fn read<K, T>(
        &self,
        api: &Api<Item<K>>,
        params: ListParams,
        of: impl Fn(K) -> T,
    ) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default,
    {
        let read = |place, item| self.keep(place, item, &of);
        pages(async |params| api.list(&params).await, params, self.chunk, read).await
    }

    /// All objects of a kind in these namespaces: one list for each, or one of everything where they are many.
    ///
    /// # Errors
    /// The server's.
    pub async fn within<K, T>(&self, namespaces: &BTreeSet<&str>) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Default,
        T: From<K>,
    {
        if namespaces.len() > FEW {
            return self.all::<K, T>(ListParams::default()).await;
        }
        let each = namespaces.iter().map(|namespace| {
            let api = Api::<Item<K>>::namespaced(self.client(), namespace);
            async move { self.read(&api, ListParams::default(), T::from).await }
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }

    /// The same of which only metadata is read, where a missing right is a gap and no failure.
    ///
    /// # Errors
    /// Anything but a missing right or resource.
    pub async fn metadata<K, T>(&self, resource: &str) -> Result<Seen<Vec<T>>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default,
        T: FromMeta,
    {
        self.seen(self.all_metadata::<K, T>(ListParams::default()).await, resource)
    }

    /// Metadata of all objects of a kind.
    ///
    /// # Errors
    /// The server's.
    pub async fn all_metadata<K, T>(&self, params: ListParams) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default,
        T: FromMeta,
    {
        // kube-rs asks for metadata alone where this is the type.
        let api = Api::<Item<PartialObjectMeta<K>>>::all(self.client());
        self.read(&api, params, |object| T::from_meta(object.metadata)).await
    }

    /// All nodes.
    ///
    /// # Errors
    /// Anything but a missing right.
    pub async fn all_nodes(&self) -> Result<Seen<Vec<Node>>> {
        self.seen(self.all::<core::Node, Node>(ListParams::default()).await, "nodes")
    }

    /// A missing right or resource is a gap; every other failure stays one.
    ///
    /// # Errors
    /// The server's.
    pub fn seen<T>(&self, listed: std::result::Result<T, kube::Error>, resource: &str) -> Result<Seen<T>> {
        optional(listed, "list", resource).map_err(|e| self.explain(&e))
    }
}

fn nth(place: usize) -> String {
    format!("number {place} of the list")
}

/// See [`Lists::seen`].
///
/// # Errors
/// Anything but a missing right or resource.
pub fn optional<T>(
    result: std::result::Result<T, kube::Error>,
    verb: &'static str,
    resource: &str,
) -> std::result::Result<Seen<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Seen::Known(value)),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(Seen::Unknown {
            verb,
            resource: resource.to_owned(),
            reason: status.message.clone(),
        }),
        Err(error) => Err(error),
    }
}

/// Something that needs only the metadata of an object.
pub trait FromMeta {
    /// Takes what it needs.
    fn from_meta(meta: ObjectMeta) -> Self;
}

impl FromMeta for Uid {
    fn from_meta(meta: ObjectMeta) -> Self {
        meta.uid.unwrap_or_default()
    }
}

impl FromMeta for Meta {
    fn from_meta(meta: ObjectMeta) -> Self {
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        Self {
            uid: meta.uid.unwrap_or_default(),
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            annotations,
        }
    }
}
