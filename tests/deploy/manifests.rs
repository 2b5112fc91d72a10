//! What no schema knows: that the objects of an overlay fit each other, and the program.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use clap::Parser;
use serde_json::{Value, json};
use tidings::{Config, server, telemetry};

use super::rendered::{all, environment, everything, file, list, number, one, settings, templates, text};

/// Of PostgreSQL's default of 100, what it does not keep for its superuser.
const DATABASE_CONNECTIONS: u64 = 97;

/// Whether labels are selected.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().expect("a selector").iter().all(|(name, value)| &labels[name] == value)
}

/// The names and numbers of the ports of a template's containers.
fn ports(template: &Value) -> Vec<(String, u64)> {
    let containers = list(&template["spec"]["containers"]).iter();
    let ports = containers.flat_map(|container| list(&container["ports"]));
    ports.map(|port| (text(&port["name"]).to_owned(), number(&port["containerPort"]))).collect()
}

/// Whether a port, by name or number, is one of the template's.
fn has_port(template: &Value, port: &Value) -> bool {
    ports(template).iter().any(|(name, number)| port == name || port == number)
}

fn server(objects: &[Value]) -> (&Value, &Value) {
    let deployment = one(objects, "Deployment", "tidings");
    (deployment, &deployment["spec"]["template"]["spec"]["containers"][0])
}

#[test]
fn every_selector_finds_its_pods_and_every_port_is_one_of_theirs() {
    for (overlay, objects) in everything() {
        let templates = templates(objects);
        let found = |what: &str, selector: &Value| -> Vec<&Value> {
            let found: Vec<_> = templates.iter().filter(|(_, t)| selects(selector, &t["metadata"]["labels"])).collect();
            assert!(!found.is_empty(), "{overlay}: {what} selects no pods");
            found.into_iter().map(|(_, template)| *template).collect()
        };
        for kind in ["Deployment", "StatefulSet"] {
            for maker in all(objects, kind) {
                let selector = &maker["spec"]["selector"]["matchLabels"];
                assert!(selects(selector, &maker["spec"]["template"]["metadata"]["labels"]), "{overlay}: {maker}");
                assert_eq!(found(kind, selector).len(), 1, "{overlay}: {selector} is not its pods' alone");
            }
        }
        for service in all(objects, "Service") {
            let pods = found("a Service", &service["spec"]["selector"]);
            // The job's pods listen to nobody.
            assert_eq!(pods.len(), 1, "{overlay}: {}", service["metadata"]["name"]);
            for port in list(&service["spec"]["ports"]) {
                let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
                assert!(has_port(pods[0], target), "{overlay}: {target} is no port of {}", service["metadata"]["name"]);
            }
        }
        for budget in all(objects, "PodDisruptionBudget") {
            assert_eq!(found("the budget", &budget["spec"]["selector"]["matchLabels"]).len(), 1);
        }
        for (name, template) in &templates {
            for spread in list(&template["spec"]["topologySpreadConstraints"]) {
                let selector = &spread["labelSelector"]["matchLabels"];
                assert!(selects(selector, &template["metadata"]["labels"]), "{overlay}: {name} spreads others");
            }
        }
    }
}

#[test]
fn every_way_in_leads_to_a_port_of_the_service_and_ties_nobody_to_a_pod() {
    for (overlay, objects) in everything() {
        let service = one(objects, "Service", "tidings");
        assert_eq!(service["spec"]["sessionAffinity"], "None", "{overlay}");
        let offers = |port: &Value| {
            list(&service["spec"]["ports"]).iter().any(|other| port == &other["name"] || port == &other["port"])
        };
        let (ingresses, routes) = (all(objects, "Ingress"), all(objects, "HTTPRoute"));
        assert_eq!(ingresses.len() + routes.len(), 1, "{overlay}: there is one way in");
        for ingress in ingresses {
            let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
            let port = &backend["port"];
            assert_eq!(backend["name"], "tidings", "{overlay}");
            assert!(offers(&port["name"]) || offers(&port["number"]), "{overlay}: {port}");
            let annotations = ingress["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            assert_eq!(annotations.is_empty(), !overlay.contains("nginx"), "{overlay}");
            for (name, value) in annotations {
                assert!(!name.contains("affinity") && !name.contains("hash"), "{overlay}: {name} ties clients to pods");
                if name.ends_with("read-timeout") || name.ends_with("send-timeout") {
                    let config = Config::parse_from(["tidings"]);
                    let silence = config.heartbeat_seconds * 5 / 2;
                    assert!(text(&value).parse::<u64>().unwrap() > silence, "{overlay}: {name} cuts what is silent");
                }
            }
        }
        for route in routes {
            let rule = &route["spec"]["rules"][0];
            let backend = &rule["backendRefs"][0];
            assert!(backend["name"] == "tidings" && offers(&backend["port"]), "{overlay}: {backend}");
            assert_eq!(rule["timeouts"], json!({ "request": "0s" }), "{overlay}: a socket has no end");
            assert!(rule["sessionPersistence"].is_null(), "{overlay}");
        }
    }
}

#[test]
fn pods_get_no_more_rights_than_the_strictest_standard_allows() {
    for (overlay, objects) in everything() {
        for (name, template) in templates(objects) {
            let (pod, what) = (&template["spec"], format!("{overlay}: {name}"));
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{what}");
            assert!(number(&security["runAsUser"]) > 0 && number(&security["runAsGroup"]) > 0, "{what}");
            assert_eq!(security["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{what}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{what}");
            for shared in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
                assert!(pod[shared].is_null(), "{what}: {shared}");
            }
            for volume in list(&pod["volumes"]) {
                assert!(volume["hostPath"].is_null(), "{what}: {volume}");
            }
            for container in list(&pod["containers"]) {
                let expected = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                });
                assert_eq!(container["securityContext"], expected, "{what}");
                let resources = &container["resources"];
                assert!(resources["requests"]["cpu"].is_string(), "{what}: the autoscaler measures by it");
                assert!(resources["limits"]["memory"].is_string(), "{what}");
                assert!(!text(&container["image"]).ends_with(":latest"), "{what}");
            }
        }
        let enforced =
            &one(objects, "Namespace", "tidings")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        assert_eq!(enforced, "restricted", "{overlay}");
    }
}

#[test]
fn every_variable_is_a_setting_that_works_and_every_secret_is_one_that_is_there() {
    let settings = settings();
    let example = file("k8s/base/secret.example.yaml").remove(0);
    for (overlay, objects) in everything() {
        for maker in [one(objects, "Deployment", "tidings"), one(objects, "Job", "tidings-migrate")] {
            let pod = &maker["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            let environment = environment(objects, container);
            for name in environment.keys() {
                assert!(settings.contains(name), "{overlay}: {name} is no setting");
            }
            let flag = |name: &str| name.to_lowercase().replace('_', "-");
            let flags = environment.iter().map(|(name, value)| format!("--{}={value}", flag(name)));
            Config::try_parse_from(["tidings".to_owned()].into_iter().chain(flags)).unwrap_or_else(|e| panic!("{e}"));
            let files: BTreeSet<&str> =
                environment.iter().filter(|(name, _)| name.ends_with("_FILE")).map(|(_, path)| path.as_str()).collect();
            let mut mounted = BTreeSet::new();
            for mount in list(&container["volumeMounts"]) {
                let volume = list(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"]).unwrap();
                let name = text(&volume["secret"]["secretName"]);
                // The example, where the overlay does not make it.
                let made = objects.iter().find(|other| other["kind"] == "Secret" && other["metadata"]["name"] == name);
                assert!(made.is_some() || name == example["metadata"]["name"], "{overlay}: there is no Secret {name}");
                let keys = made.map_or(&example["stringData"], |secret| &secret["data"]).as_object().unwrap();
                let chosen = list(&volume["secret"]["items"]);
                for item in chosen {
                    assert!(keys.contains_key(text(&item["key"])), "{overlay}: {name} has no {}", item["key"]);
                }
                let all = keys.keys().map(String::as_str).filter(|_| chosen.is_empty());
                let paths = all.chain(chosen.iter().map(|item| text(&item["path"])));
                mounted.extend(paths.map(|path| format!("{}/{path}", text(&mount["mountPath"]))));
            }
            assert_eq!(files, mounted.iter().map(String::as_str).collect(), "{overlay}: read, and mounted");
        }
    }
}

#[test]
fn probes_are_apart_and_a_stop_has_the_time_it_takes() {
    for (overlay, objects) in everything() {
        let (deployment, container) = server(objects);
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(*rolling, json!({ "maxSurge": 1, "maxUnavailable": 0 }), "{overlay}");
        let path = |probe: &str| text(&container[probe]["httpGet"]["path"]).to_owned();
        // That it is alive is no question of the database; that it is ready is.
        assert_eq!((path("startupProbe"), path("livenessProbe")), ("/healthz".to_owned(), "/healthz".to_owned()));
        assert_eq!(path("readinessProbe"), "/readyz", "{overlay}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "http", "{overlay}: {probe}");
        }
        let probe = &container["readinessProbe"];
        let noticed = number(&probe["periodSeconds"]) * number(&probe["failureThreshold"]);
        assert!(noticed <= 10, "{overlay}: a pod that is not ready is noticed after {noticed} s");
        let config = Config::parse_from(["tidings"]);
        assert!(
            number(&probe["timeoutSeconds"]) * 1000 > config.database_deadline_ms,
            "{overlay}: it cannot answer in time"
        );
        let pod = &deployment["spec"]["template"]["spec"];
        // Not a command: the image needs no shell for it.
        let before = number(&container["lifecycle"]["preStop"]["sleep"]["seconds"]);
        let takes = before + config.drain_seconds + server::PATIENCE.as_secs();
        assert!(number(&pod["terminationGracePeriodSeconds"]) >= takes + 10, "{overlay}: a stop may take {takes} s");
        let kept = Config::parse_from(["tidings"]).head_seconds;
        assert!(kept > 60, "{overlay}: a proxy gives up its idle connections after a minute");
    }
}

#[test]
fn the_ports_are_those_the_program_listens_on() {
    for (overlay, objects) in everything() {
        let (deployment, container) = server(objects);
        let environment = environment(objects, container);
        let port = environment.get("PORT").map_or(Config::parse_from(["tidings"]).port, |port| port.parse().unwrap());
        let metrics: SocketAddr = environment["METRICS_ADDR"].parse().unwrap();
        assert!(metrics.ip().is_unspecified(), "{overlay}: nobody reaches {metrics}");
        let expected = [("http".to_owned(), u64::from(port)), ("metrics".to_owned(), u64::from(metrics.port()))];
        assert_eq!(ports(&deployment["spec"]["template"]), expected, "{overlay}");
    }
}

#[test]
fn pods_come_quickly_and_go_slowly_and_the_database_has_room_for_them() {
    for (overlay, objects) in everything() {
        let (deployment, container) = server(objects);
        let scaler = &one(objects, "HorizontalPodAutoscaler", "tidings")["spec"];
        assert_eq!(scaler["scaleTargetRef"]["name"], deployment["metadata"]["name"], "{overlay}");
        assert!(deployment["spec"]["replicas"].is_null(), "{overlay}: every apply would undo what the autoscaler did");
        let (least, most) = (number(&scaler["minReplicas"]), number(&scaler["maxReplicas"]));
        let budget = number(&one(objects, "PodDisruptionBudget", "tidings")["spec"]["maxUnavailable"]);
        assert!(least > budget, "{overlay}: a drained node may take the last pod");
        assert!(number(&scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"]) >= 600, "{overlay}");
        let down = &scaler["behavior"]["scaleDown"]["policies"];
        assert_eq!(*down, json!([{ "type": "Pods", "value": 1, "periodSeconds": 120 }]), "{overlay}");
        let environment = environment(objects, container);
        let setting = |name: &str| environment[name].parse::<u64>().unwrap();
        let mut metrics: Vec<&str> = Vec::new();
        for metric in list(&scaler["metrics"]) {
            if metric["type"] == "Resource" {
                metrics.push(text(&metric["resource"]["name"]));
                continue;
            }
            let name = text(&metric["pods"]["metric"]["name"]);
            assert_eq!(name, telemetry::CONNECTIONS, "{overlay}: the program counts no such thing");
            let counted = &metric["pods"]["metric"]["selector"]["matchLabels"];
            assert_eq!(*counted, json!({ "transport": "websocket" }), "{overlay}: these are what is limited");
            let target = text(&metric["pods"]["target"]["averageValue"]).parse::<u64>().unwrap();
            assert!(target * 3 / 2 <= setting("MAX_CONNECTIONS"), "{overlay}: pods are full before there are more");
            metrics.push(name);
        }
        if overlay.starts_with("production") {
            assert_eq!(metrics, ["cpu", telemetry::CONNECTIONS]);
        } else {
            assert_eq!(metrics, ["cpu"]);
            let surge = number(&deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]);
            assert!((most + surge) * setting("DATABASE_CONNECTIONS") <= DATABASE_CONNECTIONS, "{overlay}");
        }
    }
}

#[test]
fn the_monitor_finds_its_ports_and_nobody_else_does_and_its_alerts_are_those_of_the_others() {
    for (overlay, objects) in everything() {
        let monitors = all(objects, "ServiceMonitor");
        assert_eq!(monitors.len(), usize::from(overlay.contains("monitor")), "{overlay}");
        for monitor in monitors {
            let selector = &monitor["spec"]["selector"]["matchLabels"];
            let services = all(objects, "Service");
            let found: Vec<_> = services.iter().filter(|s| selects(selector, &s["metadata"]["labels"])).collect();
            let [service] = found[..] else { panic!("{overlay}: it scrapes {found:?}") };
            let endpoint = &monitor["spec"]["endpoints"][0];
            assert!(list(&service["spec"]["ports"]).iter().any(|port| port["name"] == endpoint["port"]), "{overlay}");
            assert_eq!(endpoint["path"], "/metrics");
        }
        let rules = all(objects, "PrometheusRule");
        assert_eq!(rules.len(), usize::from(overlay.contains("monitor")), "{overlay}");
        let alerts = &file("packaging/prometheus/alerts.yaml")[0]["groups"];
        assert!(rules.iter().all(|rule| &rule["spec"]["groups"] == alerts), "{overlay}: these are other alerts");
        let public = &one(objects, "Service", "tidings")["spec"]["ports"];
        assert!(
            list(public).iter().all(|port| port["targetPort"] == "http"),
            "{overlay}: an Ingress could lead to more"
        );
    }
}
