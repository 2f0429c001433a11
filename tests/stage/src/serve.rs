//! The world on loopback: the APIs and CloudFormation's forwarder over HTTP, in real time that can be wound forward.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, Method, StatusCode, Uri,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::post,
    serve::Listener,
};
use cluster_world::{Call, Operation, Refusal, Request, World};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::proxy;

/// A handle on a world that lives in real time.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    began: Instant,
    began_at: Timestamp,
    wound: Mutex<SignedDuration>,
    /// Who says whether a caller may: a URL and a way to ask there.
    authority: OnceLock<(reqwest::Client, String)>,
}

impl Live {
    /// Lets this world live from now on.
    #[must_use]
    pub fn new(world: World) -> Self {
        let (began_at, wound) = (world.now, Mutex::default());
        let (world, authority) = (Mutex::new(world), OnceLock::new());
        Self(Arc::new(Shared { world, began: Instant::now(), began_at, wound, authority }))
    }

    /// Asks there before it answers a call, from now on.
    pub fn obey(&self, http: reqwest::Client, url: String) {
        _ = self.0.authority.set((http, url));
    }

    /// Why the call may not be made, if it may not.
    async fn denied(&self, headers: &HeaderMap, call: &Call) -> Option<String> {
        let (http, url) = self.0.authority.get()?;
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for (resources, context) in call.questions() {
            let question = json!({
                "authorization": authorization, "action": call.action, "resources": resources, "context": context,
            });
            let answer = async { http.post(url).json(&question).send().await?.json::<Value>().await };
            match answer.await {
                Ok(answer) => match &answer["denied"] {
                    Value::Null if answer.get("denied").is_some() => {}
                    why => return Some(why.as_str().map_or_else(|| answer.to_string(), str::to_owned)),
                },
                Err(error) => return Some(error.to_string()),
            }
        }
        None
    }

    /// The world as it is now.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let wound = *self.0.wound.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = SignedDuration::try_from(self.0.began.elapsed()).unwrap_or_default();
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.began_at + elapsed + wound;
        if now > world.now {
            world.advance_to(now);
        }
        world
    }

    /// Winds time forward, so that nobody waits for instances to boot.
    pub fn wind(&self, time: Duration) {
        let time = SignedDuration::try_from(time).unwrap_or_default();
        *self.0.wound.lock().unwrap_or_else(PoisonError::into_inner) += time;
        drop(self.world());
    }

    /// The events that nobody has taken yet.
    #[must_use]
    pub fn take_events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().events)
    }

    /// Serves APIs and forwarder on this socket, until the task is aborted.
    pub async fn serve<L>(self, listener: L) -> std::io::Result<()>
    where
        L: Listener,
        L::Addr: Debug,
    {
        let router = Router::new().route("/resources", post(resource)).fallback(api).with_state(self);
        axum::serve(listener, router).await
    }
}

async fn api(State(live): State<Live>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    // A proxy is sent whole addresses, and here the only ones that come are those of members.
    if let Some(member) = uri.host().and_then(|host| host.parse().ok()) {
        return proxy::ask(&live, member, &method, &uri, &headers, body).await;
    }
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).map(str::to_owned);
    let kind = match target.as_deref() {
        Some(target) if target.starts_with("DynamoDB_") => "application/x-amz-json-1.0",
        Some(_) => "application/x-amz-json-1.1",
        None => "text/xml",
    };
    let said = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    let request = Request {
        headers: ["if-match", "if-none-match"].into_iter().filter_map(said).collect(),
        method: method.to_string(),
        host: String::new(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        target,
        body: body.to_vec(),
    };
    let call = live.world().call(&request);
    let denied = match &call {
        Some(call) => live.denied(&headers, call).await,
        None => None,
    };
    let answer = match denied {
        Some(message) => cluster_world::refused(&request, Refusal { code: "AccessDenied", message }),
        None => live.world().answer(&request),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(CONTENT_TYPE, kind)], answer.body).into_response();
    for (name, value) in answer.headers {
        // That of a HEAD speaks of a body that does not come.
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What the forwarder sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Forwarded {
    action: String,
    r#type: String,
    #[serde(default)]
    stack: String,
    #[serde(default)]
    logical_id: String,
    #[serde(default)]
    physical_id: String,
    #[serde(default)]
    properties: Value,
    #[serde(default)]
    old_properties: Value,
}

async fn resource(State(live): State<Live>, Json(asked): Json<Forwarded>) -> Response {
    let mut world = live.world();
    let Forwarded { r#type, stack, logical_id, physical_id, properties, old_properties, .. } = &asked;
    let operation: Operation = match asked.action.as_str() {
        "create" => world.create_in(stack, r#type, logical_id, properties),
        "update" => world.update_in(stack, r#type, logical_id, physical_id, properties, old_properties),
        "delete" => world.delete(r#type, physical_id, properties),
        "status" => world.status(r#type, physical_id),
        other => Err(format!("the forwarder knows no action {other:?}")),
    };
    match operation {
        Ok(Some(resource)) => {
            Json(json!({"physicalId": resource.physical_id, "attributes": resource.attributes})).into_response()
        }
        Ok(None) => StatusCode::ACCEPTED.into_response(),
        Err(message) => (StatusCode::BAD_REQUEST, Json(json!({"message": message}))).into_response(),
    }
}
