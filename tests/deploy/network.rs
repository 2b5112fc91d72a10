//! The network policies: what is needed passes, and what is not does not. Judged as Kubernetes would: a pod that a policy
//! selects has only what some policy lets through.

use serde_json::{Value, json};

use super::rendered::{all, everything, file, list, number, one, templates, text};

/// One end of a connection.
enum End<'a> {
    /// A pod of the overlay.
    Pod(&'a Value),
    /// A pod of another namespace, in which a proxy or Prometheus is.
    Namespace(&'a str),
    /// An address outside of the cluster.
    Outside(&'a str),
}

fn selected(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(name, value)| &labels[name] == value))
}

/// Whether an address is in a network, for the few that are asked about.
fn within(network: &str, address: &str) -> bool {
    let (network, address): (ipnet::IpNet, std::net::IpAddr) = (network.parse().unwrap(), address.parse().unwrap());
    network.contains(&address)
}

fn is_peer(peer: &Value, end: &End<'_>) -> bool {
    match end {
        End::Pod(template) if peer["namespaceSelector"].is_null() && !peer["podSelector"].is_null() => {
            selected(&peer["podSelector"], &template["metadata"]["labels"])
        }
        End::Namespace(name) if !peer["namespaceSelector"].is_null() => {
            selected(&peer["namespaceSelector"], &json!({ "kubernetes.io/metadata.name": name }))
        }
        End::Outside(address) if !peer["ipBlock"].is_null() => {
            let block = &peer["ipBlock"];
            within(text(&block["cidr"]), address)
                && !list(&block["except"]).iter().any(|not| within(text(not), address))
        }
        _ => false,
    }
}

/// Whether the policies of one direction let a connection of this pod pass, to or from the other end.
fn passes(objects: &[Value], direction: &str, pod: &Value, other: &End<'_>, port: &(&str, u64, &str)) -> bool {
    let (key, side) = if direction == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
    let concerned: Vec<&Value> = all(objects, "NetworkPolicy")
        .into_iter()
        .filter(|policy| selected(&policy["spec"]["podSelector"], &pod["metadata"]["labels"]))
        .filter(|policy| list(&policy["spec"]["policyTypes"]).iter().any(|kind| kind == direction))
        .collect();
    let lets = |rule: &Value| {
        let ends = list(&rule[side]);
        let to = ends.is_empty() || ends.iter().any(|peer| is_peer(peer, other));
        let ports = list(&rule["ports"]);
        to && ports.iter().any(|listed| {
            let protocol = listed["protocol"].as_str().unwrap_or("TCP");
            protocol == port.2 && (listed["port"] == port.0 || listed["port"] == port.1)
        })
    };
    concerned.is_empty() || concerned.iter().any(|policy| list(&policy["spec"][key]).iter().any(lets))
}

fn pod<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let found = templates(objects).into_iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("there are no pods {name}")).1
}

/// The host and port of an address of a database or Redis.
fn destination(url: &str) -> (String, u64) {
    let authority = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let (host, port) = authority.rsplit('@').next().unwrap().split_once(':').unwrap();
    (host.to_owned(), port.parse().unwrap())
}

const DNS: [(&str, u64, &str); 2] = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")];
const HTTP: (&str, u64, &str) = ("http", 8080, "TCP");
const METRICS: (&str, u64, &str) = ("metrics", 9090, "TCP");
const HTTPS: (&str, u64, &str) = ("https", 443, "TCP");

#[test]
fn what_the_pods_need_passes() {
    let example = file("k8s/base/secret.example.yaml").remove(0);
    for (overlay, objects) in everything() {
        let (server, job) = (pod(objects, "tidings"), pod(objects, "tidings-migrate"));
        for template in [server, job] {
            for port in &DNS {
                for resolver in [End::Namespace("kube-system"), End::Outside("169.254.20.10")] {
                    assert!(passes(objects, "Egress", template, &resolver, port), "{overlay}: no names");
                }
            }
        }
        for proxy in [End::Namespace("ingress"), End::Namespace("default"), End::Outside("203.0.113.7")] {
            assert!(passes(objects, "Ingress", server, &proxy, &HTTP), "{overlay}: nobody comes in");
        }
        assert!(passes(objects, "Ingress", server, &End::Namespace("monitoring"), &METRICS), "{overlay}: no scraping");
        for url in ["database-url", "redis-url"] {
            if overlay.starts_with("production") {
                let (_, number) = destination(text(&example["stringData"][url]));
                let port = ("", number, "TCP");
                for address in ["10.1.2.3", "198.51.100.7", "2001:db8::7"] {
                    assert!(passes(objects, "Egress", server, &End::Outside(address), &port), "{overlay}: {url}");
                    assert!(passes(objects, "Egress", job, &End::Outside(address), &port), "{overlay}: {url}");
                }
                continue;
            }
            let secrets = all(objects, "Secret");
            let encoded = secrets.iter().find_map(|secret| secret["data"][url].as_str()).unwrap();
            let (host, number) = destination(&super::decoded(encoded));
            let service = one(objects, "Service", &host);
            let (to, port) = (pod(objects, &host), (host.as_str(), number, "TCP"));
            assert_eq!(super::rendered::number(&service["spec"]["ports"][0]["port"]), number, "{overlay}: {url}");
            // By the job as well, and let in where it arrives.
            for template in [server, job] {
                assert!(passes(objects, "Egress", template, &End::Pod(to), &port), "{overlay}: {url}");
                assert!(passes(objects, "Ingress", to, &End::Pod(template), &port), "{overlay}: {url}");
            }
        }
        if overlay.starts_with("production") {
            assert!(passes(objects, "Egress", server, &End::Outside("198.51.100.7"), &HTTPS), "{overlay}: no key sets");
        }
    }
}

#[test]
fn what_nobody_needs_does_not_pass() {
    for (overlay, objects) in everything() {
        let (server, job) = (pod(objects, "tidings"), pod(objects, "tidings-migrate"));
        for from in [End::Namespace("default"), End::Outside("203.0.113.7"), End::Pod(server)] {
            assert!(!passes(objects, "Ingress", server, &from, &METRICS), "{overlay}: metrics are for everyone");
            assert!(!passes(objects, "Ingress", job, &from, &HTTP), "{overlay}: the job listens to nobody");
        }
        let metadata = End::Outside("169.254.169.254");
        for port in [("", 80, "TCP"), HTTPS] {
            assert!(!passes(objects, "Egress", server, &metadata, &port), "{overlay}: a node's credentials");
        }
        assert!(!passes(objects, "Egress", server, &End::Outside("203.0.113.7"), &("", 25, "TCP")), "{overlay}");
        for store in ["postgres", "redis"].iter().filter(|_| overlay.starts_with("local")) {
            let store = pod(objects, store);
            let number = number(&store["spec"]["containers"][0]["ports"][0]["containerPort"]);
            for from in [End::Namespace("default"), End::Outside("203.0.113.7")] {
                assert!(!passes(objects, "Ingress", store, &from, &("", number, "TCP")), "{overlay}");
            }
            assert!(!passes(objects, "Egress", store, &End::Outside("203.0.113.7"), &HTTPS), "{overlay}");
        }
    }
}
