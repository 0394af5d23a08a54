//! What a Collector wrote before it gave up, made fit for a status message.

/// Most bytes of a reason.
const MAX_REASON: usize = 4096;

/// Wrappings that say nothing about the cause.
const NOISE: [&str; 5] = [
    "Error: ",
    "failed to get config: ",
    "cannot unmarshal the configuration: ",
    "cannot resolve the configuration: ",
    "decoding failed due to the following error(s):",
];

/// What `main` of most distributions logs after the error has been printed.
const REPEATED: &str = "collector server run finished with error: ";

/// The cause of a refusal, from the validator's output: without wrappings, repeats and usage text.
pub(super) fn of_refusal(stderr: &[u8], stdout: &[u8]) -> String {
    let text = printable(if stderr.trim_ascii().is_empty() { stdout } else { stderr });
    let mut reasons: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().take_while(|line| line.trim_end() != "Usage:") {
        let mut line = match line.split_once(REPEATED) {
            Some(_) if !reasons.is_empty() => break,
            Some((_, rest)) => rest.to_owned(),
            None => line.to_owned(),
        };
        for noise in NOISE {
            line = line.replace(noise, "");
        }
        let line = line.trim();
        match reasons.last_mut() {
            _ if line.is_empty() => continue,
            Some(last) if open => {
                last.push(' ');
                last.push_str(line);
            }
            _ => reasons.push(line.to_owned()),
        }
        open = line.ends_with(':');
    }
    cap_start(reasons.join("\n"))
}

/// The last lines of what a failed command wrote.
pub(super) fn last_lines(stderr: &[u8], stdout: &[u8]) -> String {
    let text = printable(if stderr.trim_ascii().is_empty() { stdout } else { stderr });
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    cap_start(lines[lines.len().saturating_sub(10)..].join("\n"))
}

pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\t', "    ");
    text.chars().filter(|char| *char == '\n' || !char.is_control()).collect()
}

fn cap_start(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let end = text.floor_char_boundary(MAX_REASON - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_stays_and_the_wrapping_goes() {
        let text = "Error: failed to get config: cannot unmarshal the configuration: decoding failed due to the \
            following error(s):\n\n'receivers' error reading configuration for \"otlp\": decoding failed due to \
            the following error(s):\n\n'otlpreceiver.Config' has invalid keys: protocls\n'exporters' unknown \
            type: \"x\" for id: \"x\" (valid values: [a b])\n2026/11/21 06:00:00 collector server run finished \
            with error: failed to get config: cannot unmarshal the configuration\n";
        assert_eq!(
            of_refusal(text.as_bytes(), b""),
            "'receivers' error reading configuration for \"otlp\": 'otlpreceiver.Config' has invalid keys: protocls\n\
             'exporters' unknown type: \"x\" for id: \"x\" (valid values: [a b])"
        );
        assert_eq!(
            of_refusal(b"Error: unknown flag: --x\nUsage:\n  otelcol [flags]\n", b""),
            "unknown flag: --x"
        );
        assert_eq!(of_refusal(b" \n", b"said on \x1b[1mstdout"), "said on [1mstdout");
    }

    #[test]
    fn a_reason_is_short() {
        let long = of_refusal("ü".repeat(9000).as_bytes(), b"");
        assert!(long.len() <= MAX_REASON && long.ends_with('…'));
        let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert!(last_lines(lines.as_bytes(), b"").starts_with("line 90\n"));
    }
}
