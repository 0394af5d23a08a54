//! What listens, by the name of its process first and by its port second, and which receiver is for it.

use std::fmt::Write;

use crate::os::listening::Transport;

/// Something that a Collector may be able to watch.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) name: &'static str,
    /// Names of processes, as the kernel cuts them.
    processes: &'static [&'static str],
    /// For a process that runs in Java: the class it was started with.
    pub(super) classes: &'static [&'static str],
    /// Its usual TCP ports, the one to ask first.
    pub(super) ports: &'static [u16],
    receiver: Option<Receiver>,
}

/// How its receiver is configured.
#[derive(Debug)]
struct Receiver {
    kind: &'static str,
    /// Lines under the receiver's name; `{endpoint}` is the address and port.
    lines: &'static [&'static str],
}

/// The text of a receiver that scrapes an endpoint for Prometheus.
const SCRAPE: Option<Receiver> = receiver(
    "prometheus",
    &[
        "config:",
        "  scrape_configs:",
        "    - job_name: \"{product}\"",
        "      static_configs:",
        "        - targets: [\"{endpoint}\"]",
    ],
);

const fn receiver(kind: &'static str, lines: &'static [&'static str]) -> Option<Receiver> {
    Some(Receiver { kind, lines })
}

const fn product(
    name: &'static str,
    processes: &'static [&'static str],
    ports: &'static [u16],
    receiver: Option<Receiver>,
) -> Product {
    Product { name, processes, classes: &[], ports, receiver }
}

const fn in_java(
    name: &'static str,
    classes: &'static [&'static str],
    ports: &'static [u16],
    receiver: Option<Receiver>,
) -> Product {
    Product { name, processes: &[], classes, ports, receiver }
}

/// Passwords are asked of the Collector's environment: a snippet has none.
static PRODUCTS: &[Product] = &[
    product(
        "postgresql",
        &["postgres", "postmaster"],
        &[5432],
        receiver(
            "postgresql",
            &[
                "endpoint: \"{endpoint}\"",
                "username: otel",
                "password: \"${env:POSTGRESQL_PASSWORD}\"",
                "tls: {insecure: true}",
            ],
        ),
    ),
    product(
        "mysql",
        &["mysqld", "mariadbd"],
        &[3306],
        receiver(
            "mysql",
            &["endpoint: \"{endpoint}\"", "username: otel", "password: \"${env:MYSQL_PASSWORD}\""],
        ),
    ),
    product(
        "redis",
        &["redis-server", "valkey-server", "keydb-server"],
        &[6379],
        receiver("redis", &["endpoint: \"{endpoint}\""]),
    ),
    product("nginx", &["nginx"], &[], receiver("nginx", &["endpoint: \"http://{endpoint}/status\""])),
    product(
        "apache",
        &["apache2", "httpd"],
        &[],
        receiver("apache", &["endpoint: \"http://{endpoint}/server-status?auto\""]),
    ),
    product(
        "mongodb",
        &["mongod", "mongos"],
        &[27017],
        receiver("mongodb", &["hosts: [{endpoint: \"{endpoint}\"}]", "tls: {insecure: true}"]),
    ),
    product(
        "rabbitmq",
        &["rabbitmq-server"],
        &[15672, 5672],
        receiver(
            "rabbitmq",
            &["endpoint: \"http://{endpoint}\"", "username: otel", "password: \"${env:RABBITMQ_PASSWORD}\""],
        ),
    ),
    in_java(
        "kafka",
        &["kafka.Kafka"],
        &[9092],
        receiver("kafkametrics", &["brokers: [\"{endpoint}\"]", "scrapers: [brokers, topics, consumers]"]),
    ),
    in_java(
        "elasticsearch",
        &[
            "org.elasticsearch.bootstrap.Elasticsearch",
            "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
        ],
        &[9200],
        receiver("elasticsearch", &["endpoint: \"http://{endpoint}\""]),
    ),
    in_java(
        "zookeeper",
        &["org.apache.zookeeper.server.quorum.QuorumPeerMain"],
        &[2181],
        receiver("zookeeper", &["endpoint: \"{endpoint}\""]),
    ),
    product("memcached", &["memcached"], &[11211], receiver("memcached", &["endpoint: \"{endpoint}\""])),
    product(
        "haproxy",
        &["haproxy"],
        &[8404],
        receiver("haproxy", &["endpoint: \"http://{endpoint}/stats\""]),
    ),
    product(
        "couchdb",
        &[],
        &[5984],
        receiver(
            "couchdb",
            &["endpoint: \"http://{endpoint}\"", "username: otel", "password: \"${env:COUCHDB_PASSWORD}\""],
        ),
    ),
    product("etcd", &["etcd"], &[2379], SCRAPE),
    product("node_exporter", &["node_exporter", "prometheus-node"], &[9100], SCRAPE),
    product("prometheus", &["prometheus"], &[9090], SCRAPE),
    // It takes telemetry and has none to give.
    product("otlp", &[], &[4317, 4318], None),
];

/// Sockets of the host's own, by their path.
pub(super) static UNIX: &[(&str, Product)] = &[
    (
        "/run/docker.sock",
        product("docker", &[], &[], receiver("docker_stats", &["endpoint: \"unix://{endpoint}\""])),
    ),
    (
        "/var/run/docker.sock",
        product("docker", &[], &[], receiver("docker_stats", &["endpoint: \"unix://{endpoint}\""])),
    ),
    (
        "/run/podman/podman.sock",
        product("podman", &[], &[], receiver("podman_stats", &["endpoint: \"unix://{endpoint}\""])),
    ),
];

/// An exporter for Prometheus that is not in the table by its own name.
static EXPORTER: Product = product("prometheus_exporter", &[], &[], SCRAPE);

/// The classes of all products in Java.
pub(super) fn classes() -> impl Iterator<Item = &'static str> {
    PRODUCTS.iter().flat_map(|product| product.classes.iter().copied())
}

/// By the name of the process, or the class that a Java process was started with.
pub(super) fn by_process(name: &str, class: Option<&str>) -> Option<&'static Product> {
    let known = PRODUCTS.iter().find(|product| {
        product.processes.contains(&name) || class.is_some_and(|class| product.classes.contains(&class))
    });
    let exports = name.ends_with("exporter") || name.ends_with("_exporte");
    known.or_else(|| exports.then_some(&EXPORTER))
}

pub(super) fn by_port(transport: Transport, port: u16) -> Option<&'static Product> {
    let is = |product: &&Product| transport == Transport::Tcp && product.ports.contains(&port);
    PRODUCTS.iter().find(is)
}

impl Product {
    pub(super) fn receiver_type(&self) -> Option<&'static str> {
        self.receiver.as_ref().map(|receiver| receiver.kind)
    }

    /// A layer for the Collector: the receiver, under a name of its own.
    pub(super) fn snippet(&self, endpoint: &str, tag: &str) -> Option<String> {
        let receiver = self.receiver.as_ref()?;
        let mut text = format!("receivers:\n  {}/{tag}:\n", receiver.kind);
        for line in receiver.lines {
            let line = line.replace("{endpoint}", endpoint).replace("{product}", self.name);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {line}");
        }
        Some(text)
    }

    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        PRODUCTS.iter().chain(UNIX.iter().map(|(_, product)| product)).chain([&EXPORTER])
    }
}
