//! Lists: in pages, converted page by page, so that a large cluster needs no large memory.

use std::{collections::BTreeSet, fmt::Debug};

use futures::future::try_join_all;
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Client, Resource,
    api::{Api, ListParams, PartialObjectMeta},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use upkeep::{
    Error, Result,
    client::{Connection, pages},
    report::Seen,
};

use crate::facts::{Meta, Node, Uid};

/// From so many namespaces on, one list of everything is cheaper.
const FEW: usize = 8;

/// Lists of one cluster.
#[derive(Clone)]
pub struct Lists {
    connection: Connection,
    chunk: u32,
}

impl Lists {
    /// `chunk` is the size of a page; 0 asks for everything at once.
    pub fn new(connection: &Connection, chunk: u32) -> Self {
        Self {
            connection: connection.clone(),
            chunk,
        }
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
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
        T: From<K>,
    {
        let api = Api::<K>::all(self.client());
        pages(async |params| api.list(&params).await, params, self.chunk).await
    }

    /// All objects of a kind in these namespaces: one list for each, or one of everything where they are many.
    ///
    /// # Errors
    /// The server's.
    pub async fn within<K, T>(&self, namespaces: &BTreeSet<&str>) -> std::result::Result<Vec<T>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        T: From<K>,
    {
        if namespaces.len() > FEW {
            return self.all::<K, T>(ListParams::default()).await;
        }
        let each = namespaces.iter().map(|namespace| {
            let api = Api::<K>::namespaced(self.client(), namespace);
            async move {
                pages(
                    async |params| api.list(&params).await,
                    ListParams::default(),
                    self.chunk,
                )
                .await
            }
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }

    /// The same of which only metadata is read, where a missing right is a gap and no failure.
    ///
    /// # Errors
    /// Anything but a missing right or resource.
    pub async fn metadata<K, T>(&self, resource: &str) -> Result<Seen<Vec<T>>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
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
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
        T: FromMeta,
    {
        let api = Api::<K>::all(self.client());
        let found = pages::<_, OfMeta<T>>(async |params| api.list_metadata(&params).await, params, self.chunk).await?;
        Ok(found.into_iter().map(|m| m.0).collect())
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

/// Carries a conversion from any kind's metadata.
pub struct OfMeta<T>(pub T);

impl<K, T: FromMeta> From<PartialObjectMeta<K>> for OfMeta<T> {
    fn from(object: PartialObjectMeta<K>) -> Self {
        Self(T::from_meta(object.metadata))
    }
}
