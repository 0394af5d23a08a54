//! What differs between the `supervisor.yaml` in force and the one on disk. Every key is looked at here: a new
//! one does not compile until it is said what a change of it needs.

use crate::supervisor::config::{
    AgentConfig, LogsConfig, SandboxConfig, ServerConfig, SupervisorConfig, TelemetryConfig,
};

/// What a changed key needs to come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Needs {
    /// Another connection to the server.
    Dial,
    /// The next use of it.
    Nothing,
    /// A look at the Collector's files: they may have become others.
    Files,
    /// Another process of the Collector.
    Process,
    /// Another start of the supervisor: until then the old value is kept, for the reason given.
    Start(&'static str),
}

const AT_START: &str = "restart the supervisor for the new value";

/// The changed keys, in the order of the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Changes(Vec<(&'static str, Needs)>);

impl Changes {
    /// Compares; what cannot come into force now is set back to what it was.
    pub(super) fn settle(old: &SupervisorConfig, new: &mut SupervisorConfig) -> Self {
        let mut changes = Self::default();
        let SupervisorConfig {
            server,
            agent,
            capabilities,
            storage,
            telemetry,
            healthcheck,
            restrictions,
            packages,
        } = new;
        changes.of_server(&old.server, server);
        changes.of_agent(&old.agent, agent);
        changes.note("capabilities", Needs::Nothing, old.capabilities == *capabilities);
        changes.keep("storage.directory", AT_START, &old.storage, storage);
        changes.of_telemetry(&old.telemetry, telemetry);
        changes.keep("healthcheck", AT_START, &old.healthcheck, healthcheck);
        changes.note("restrictions", Needs::Nothing, old.restrictions == *restrictions);
        changes.note("packages", Needs::Nothing, old.packages == *packages);
        changes
    }

    fn of_server(&mut self, old: &ServerConfig, new: &ServerConfig) {
        let ServerConfig {
            endpoint,
            headers,
            proxy,
            limits,
            tls,
            settings_apply_timeout,
            request_certificate,
        } = new;
        let same = old.request_certificate == *request_certificate;
        self.note("server.client_certificate.request", Needs::Nothing, same);
        let same = old.settings_apply_timeout == *settings_apply_timeout;
        self.note("server.settings_apply_timeout", Needs::Nothing, same);
        self.note("server.endpoint", Needs::Dial, old.endpoint == *endpoint);
        self.note("server.headers", Needs::Dial, old.headers == *headers);
        self.note("server.proxy_url", Needs::Dial, old.proxy == *proxy);
        self.note("server.max_recv_msg_size_mib", Needs::Dial, old.limits.receive == limits.receive);
        self.note("server.max_send_msg_size_mib", Needs::Dial, old.limits.send == limits.send);
        self.note("server.tls", Needs::Dial, old.tls == *tls);
    }

    fn of_agent(&mut self, old: &AgentConfig, new: &mut AgentConfig) {
        let AgentConfig {
            executable,
            packaged_binary,
            instance_id,
            description,
            config_apply_timeout,
            bootstrap_timeout,
            opamp_server_port,
            passthrough_logs,
            crash_log_snippet,
            use_hup_config_reload,
            validate_config,
            automatic_config_rollback,
            startup_fallback_configs,
            config_files,
            require_config_files,
            args,
            env,
            sandbox,
        } = new;
        const IDENTITY: &str = "it counts at the first start only, this agent has its identity";
        self.note("agent.executable", Needs::Process, old.executable == *executable);
        let same = old.packaged_binary == *packaged_binary;
        self.note("agent.package.agent_binary", Needs::Nothing, same);
        self.keep("agent.instance_id", IDENTITY, &old.instance_id, instance_id);
        self.note("agent.description", Needs::Files, old.description == *description);
        self.note(
            "agent.config_apply_timeout",
            Needs::Nothing,
            old.config_apply_timeout == *config_apply_timeout,
        );
        self.note("agent.bootstrap_timeout", Needs::Nothing, old.bootstrap_timeout == *bootstrap_timeout);
        self.keep("agent.opamp_server_port", AT_START, &old.opamp_server_port, opamp_server_port);
        self.note("agent.passthrough_logs", Needs::Process, old.passthrough_logs == *passthrough_logs);
        let same = old.crash_log_snippet == *crash_log_snippet;
        self.note("agent.collector_crash_log_snippet_kib", Needs::Nothing, same);
        let same = old.use_hup_config_reload == *use_hup_config_reload;
        self.note("agent.use_hup_config_reload", Needs::Nothing, same);
        self.note("agent.validate_config", Needs::Nothing, old.validate_config == *validate_config);
        let same = old.automatic_config_rollback == *automatic_config_rollback;
        self.note("agent.automatic_config_rollback", Needs::Nothing, same);
        let same = old.startup_fallback_configs == *startup_fallback_configs;
        self.note("agent.startup_fallback_configs", Needs::Files, same);
        let same = old.require_config_files == *require_config_files;
        self.note("agent.require_config_files", Needs::Files, same);
        self.note("agent.config_files", Needs::Files, old.config_files == *config_files);
        self.note("agent.args", Needs::Process, old.args == *args);
        self.note("agent.env", Needs::Process, old.env == *env);
        self.of_sandbox(&old.sandbox, sandbox);
    }

    fn of_sandbox(&mut self, old: &SandboxConfig, new: &mut SandboxConfig) {
        let SandboxConfig { run_as, no_new_privs, capabilities, limits, access, access_rule } = new;
        self.keep("agent.run_as", AT_START, &old.run_as, run_as);
        self.note("agent.no_new_privs", Needs::Process, old.no_new_privs == *no_new_privs);
        self.note("agent.capabilities", Needs::Process, old.capabilities == *capabilities);
        self.note("agent.limits", Needs::Process, old.limits == *limits);
        let same = old.access == *access && old.access_rule == *access_rule;
        self.note("agent.access_dirs", Needs::Process, same);
    }

    fn of_telemetry(&mut self, old: &TelemetryConfig, new: &mut TelemetryConfig) {
        let TelemetryConfig { logs: LogsConfig { level, output_paths, encoding }, exports } = new;
        self.note("telemetry.logs.level", Needs::Nothing, old.logs.level == *level);
        self.keep("telemetry.logs.output_paths", AT_START, &old.logs.output_paths, output_paths);
        self.keep("telemetry.logs.encoding", AT_START, &old.logs.encoding, encoding);
        self.keep("telemetry", AT_START, &old.exports, exports);
    }

    fn note(&mut self, key: &'static str, needs: Needs, same: bool) {
        if !same {
            self.0.push((key, needs));
        }
    }

    fn keep<T: Clone + PartialEq>(&mut self, key: &'static str, why: &'static str, old: &T, new: &mut T) {
        self.note(key, Needs::Start(why), old == new);
        new.clone_from(old);
    }

    pub(in crate::supervisor) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::supervisor) fn needs(&self, needs: Needs) -> bool {
        self.0.iter().any(|(_, need)| *need == needs)
    }

    /// The keys that come into force, for people.
    pub(in crate::supervisor) fn names(&self) -> String {
        let now = self.0.iter().filter(|(_, needs)| !matches!(needs, Needs::Start(_)));
        now.map(|(key, _)| *key).collect::<Vec<_>>().join(", ")
    }

    /// Those that do not, each with what to do.
    pub(in crate::supervisor) fn kept(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().filter_map(|(key, needs)| match needs {
            Needs::Start(why) => Some((*key, *why)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::*;
    use crate::supervisor::config::{Sources, parse};

    fn config(more: &str) -> SupervisorConfig {
        let text = format!("server: {{endpoint: 'ws://s/v1'}}\nagent: {{executable: /bin/c{more}");
        let read = |_: &Path| Err(io::Error::other("none"));
        let sources = Sources { env: &|_| None, read: &read, stat: &|_| Ok(()) };
        parse(&text, "s.yaml", sources).unwrap().config
    }

    #[test]
    fn each_changed_key_is_named_and_what_must_wait_keeps_its_value() {
        let old = config("}");
        let mut new = config(
            ", args: [--x], env: {A: b}, opamp_server_port: 4320}\nstorage: {directory: /elsewhere}\n\
             telemetry: {logs: {level: debug, encoding: console}}\n",
        );
        let changes = Changes::settle(&old, &mut new);
        assert_eq!(changes.names(), "agent.args, agent.env, telemetry.logs.level");
        assert!(changes.needs(Needs::Process) && !changes.needs(Needs::Dial));
        let kept: Vec<_> = changes.kept().map(|(key, _)| key).collect();
        assert_eq!(kept, ["agent.opamp_server_port", "storage.directory", "telemetry.logs.encoding"]);
        assert_eq!((&new.storage, new.agent.opamp_server_port), (&old.storage, old.agent.opamp_server_port));
        assert_eq!(new.agent.args, ["--x"]);
        let mut same = config("}");
        assert_eq!(Changes::settle(&old, &mut same), Changes::default());
    }
}
