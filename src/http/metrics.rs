//! `GET /metrics`: counters and gauges for Prometheus, to peers on this machine or with `METRICS_TOKEN`.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::{collections::BTreeMap, fmt::Write as _};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use guildstream_actors::{
    discord_shard, link_client, link_server,
    metric::{Kind, Metric},
    sse_broker,
};
use secrecy::SecretString;

use super::{
    ask,
    error::{ApiError, Refusal},
    gateway::GatewayState,
    web::WebState,
};
use crate::auth::bearer;

/// A proxy on this machine makes every peer look local; these headers give it away.
const FORWARDING: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Counters and gauges in Prometheus's text format, for this machine or with METRICS_TOKEN.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operation",
    security((), ("metrics" = [])), responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 401, body = Refusal, description = "another machine asks, or the token is wrong"),
))]
pub(super) async fn web(request: HttpRequest, state: web::Data<WebState>) -> Result<HttpResponse, ApiError> {
    authorise(&request, state.config.metrics_token.as_ref())?;
    let mut metrics = Vec::new();
    if let Ok(link) = ask("link client", &state.link, link_client::Snapshot).await {
        metrics.extend(link.metrics());
    }
    if let Ok(broker) = ask("broker", &state.broker, sse_broker::Snapshot).await {
        metrics.extend(broker.metrics());
    }
    Ok(exposition(render(&metrics) + &state.counters().exposition()))
}

pub(super) async fn gateway(
    request: HttpRequest,
    state: web::Data<GatewayState>,
) -> Result<HttpResponse, ApiError> {
    authorise(&request, state.metrics_token.as_ref())?;
    let mut metrics = Vec::new();
    if let Ok(shard) = ask("shard", &state.shard, discord_shard::Snapshot).await {
        metrics.extend(shard.metrics());
    }
    if let Ok(links) = ask("link server", &state.links, link_server::Snapshot).await {
        metrics.extend(links.metrics());
    }
    Ok(exposition(render(&metrics)))
}

fn authorise(request: &HttpRequest, token: Option<&SecretString>) -> Result<(), ApiError> {
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_forwarded = FORWARDING.iter().any(|name| request.headers().contains_key(*name));
    let has_token = token.is_some_and(|token| bearer::is_authorised(request.headers(), token));
    if has_token || is_local && !is_forwarded { Ok(()) } else { Err(ApiError::InvalidToken) }
}

fn exposition(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text)
}

/// All values of one name stand together below its help, as the format wants it.
fn render(metrics: &[Metric]) -> String {
    let mut families = BTreeMap::<&str, Vec<&Metric>>::new();
    for metric in metrics {
        families.entry(metric.name).or_default().push(metric);
    }
    let mut text = String::new();
    for (name, family) in families {
        let kind = match family[0].kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = family[0].help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP guildstream_{name} {help}\n# TYPE guildstream_{name} {kind}");
        for metric in family {
            let _ = writeln!(text, "guildstream_{name}{} {}", labels(metric), metric.value);
        }
    }
    text
}

fn labels(metric: &Metric) -> String {
    if metric.labels.is_empty() {
        return String::new();
    }
    let quoted = metric.labels.iter().map(|(name, value)| {
        format!("{name}=\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn values_of_one_name_stand_together_and_labels_are_escaped() {
        let metrics = [
            Metric::counter("events_total", "Events.", 3).label("type", "A"),
            Metric::gauge("streams", "Open streams.", 2),
            Metric::counter("events_total", "Events.", 4).label("type", "a\"b\\c\nd").label("shard", "0"),
        ];
        let expected = "# HELP guildstream_events_total Events.\n\
            # TYPE guildstream_events_total counter\n\
            guildstream_events_total{type=\"A\"} 3\n\
            guildstream_events_total{type=\"a\\\"b\\\\c\\nd\",shard=\"0\"} 4\n\
            # HELP guildstream_streams Open streams.\n\
            # TYPE guildstream_streams gauge\n\
            guildstream_streams 2\n";
        assert_eq!(render(&metrics), expected);
    }

    #[test]
    fn only_local_peers_and_those_with_the_token_read_metrics() {
        let token = SecretString::from("metrics-token");
        let cases = [
            ("127.0.0.1:5", ("accept", "*/*"), true),
            ("[::1]:5", ("accept", "*/*"), true),
            ("[::ffff:127.0.0.1]:5", ("accept", "*/*"), true),
            ("127.0.0.1:5", ("x-forwarded-for", "192.0.2.1"), false),
            ("127.0.0.1:5", ("forwarded", "for=192.0.2.1"), false),
            ("192.0.2.1:5", ("accept", "*/*"), false),
            ("192.0.2.1:5", ("authorization", "Bearer metrics-token"), true),
            ("192.0.2.1:5", ("authorization", "Bearer wrong"), false),
        ];
        for (peer, header, allowed) in cases {
            let request = TestRequest::get().peer_addr(peer.parse().unwrap()).insert_header(header);
            let answer = authorise(&request.to_http_request(), Some(&token));
            assert_eq!(answer.is_ok(), allowed, "{peer} {header:?}");
        }
    }
}
