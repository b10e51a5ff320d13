//! What is written in a cluster by those who may: reasons of denials, conditions, annotations, managers of fields.

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

/// What a webhook says when it denies: the words of the server about something else, too.
pub const REASONS: [&str; 8] = [
    "legal hold",
    "",
    "Internal error occurred: failed calling webhook \"other.example.com\": it is down",
    "conversion webhook for shop.example.com/v1, Kind=Order failed: Post \"https://conv.ops.svc:443/\": EOF",
    "Order.shop.example.com \"o1\" is invalid: spec.size: Required value",
    "configmaps \"o1\" is forbidden: User \"bob\" cannot patch resource \"configmaps\"",
    "configmaps \"o1\" not found",
    "request to convert CR from an invalid group/version: shop.example.com/v9",
];

/// The status that it chooses.
pub const CODES: [u16; 8] = [403, 400, 500, 500, 422, 403, 404, 429];

/// Types and messages of conditions of a namespace.
pub fn conditions() -> impl Strategy<Value = (&'static str, String)> {
    let types = [
        "NamespaceDeletionContentFailure",
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceFinalizersRemaining",
        "NamespaceContentRemaining",
        "Unknown\u{202e}Type",
    ];
    let messages = [
        "",
        "Some content in the namespace has finalizers remaining: a\nb in 1 resource instances",
        "Failed to delete all resource types, 1 remaining: configmaps is forbidden: User \
         \"system:serviceaccount:kube-system:namespace-controller\" cannot deletecollection resource \"configmaps\"",
        "Failed to delete all resource types, 1 remaining: request to convert CR from an invalid group/version: \
         shop.example.com/v1alpha1",
        "conversion webhook for shop.example.com/v1, Kind=Order failed: Post \"https://conv.ops.svc:443/\": EOF",
        " is forbidden: ",
        "conversion webhook for ",
        "admission webhook \"guard.example.com\" denied the request: no",
    ];
    (select(types.to_vec()), select(messages.to_vec())).prop_map(|(kind, message)| (kind, message.to_owned()))
}

/// What an object says of itself and of its controller, added to its metadata and its status.
pub fn of_object(number: usize, recently: &str) -> (Value, Value) {
    let managed = |manager: &str, finalizer: &str| {
        json!([{"manager": manager, "operation": "Update", "apiVersion": "v1", "time": recently, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:finalizers": {format!("v:\"{finalizer}\""): {}}}}},
            {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": recently, "subresource": "status"}])
    };
    let condition =
        |kind: &str, message: &str| json!({"conditions": [{"type": kind, "status": "True", "message": message}]});
    match number {
        1 => (
            json!({"managedFields": managed("operator", "example.com/cleanup")}),
            Value::Null,
        ),
        2 => (
            json!({"managedFields": managed("kubectl-edit", "shop.example.com/finalizer")}),
            Value::Null,
        ),
        3 => (json!({"annotations": {"crossplane.io/paused": "true"}}), Value::Null),
        4 => (
            Value::Null,
            condition(
                "DeletionBlocked",
                "namespaces \"shop\" is forbidden: because it is being terminated",
            ),
        ),
        5 => (json!({"managedFields": 7, "labels": ["no map"]}), json!("no object")),
        6 => (
            Value::Null,
            json!({"error": {"message": "a".repeat(1_000)}, "conditions": "none"}),
        ),
        7 => (
            json!({"annotations": {"kubectl-upkeep/nudged": "yesterday"}}),
            condition("Ready", "\u{1b}[31m"),
        ),
        _ => (Value::Null, Value::Null),
    }
}
