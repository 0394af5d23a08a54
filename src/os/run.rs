//! A short command, run to its end under a deadline, with what it printed (bounded).
//! Called by `collector` for `components`, `validate` and `print-config` (F-83: one that hangs is killed).

use std::{path::PathBuf, pin::pin, time::Duration};

use tokio::{io::AsyncReadExt, net::unix::pipe, select, time::timeout};

use super::child::{Child, ChildError, Exit, SpawnError, Spawned, Spec};

/// How long output may keep coming once the command has ended (from a process that left its group).
const TRAILING: Duration = Duration::from_secs(1);

/// What a short command may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub deadline: Duration,
    /// Bytes kept of each stream; what comes after is read and dropped.
    pub output: usize,
}

/// A command that ended by itself.
#[derive(Debug, Clone)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A command gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("{} did not end within {} ms and was killed", executable.display(), after.as_millis())]
    TimedOut { executable: PathBuf, after: Duration, stdout: Vec<u8>, stderr: Vec<u8> },
}

/// Runs the command; on the main thread, as [`Child::spawn`] wants it.
pub async fn run(spec: &Spec, limits: Limits) -> Result<Finished, RunError> {
    let Spawned { child, stdout: out, stderr: err } = Child::spawn(spec)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = {
        let mut reading = pin!(async {
            tokio::join!(fill(out, &mut stdout, limits.output), fill(err, &mut stderr, limits.output))
        });
        let whole = async {
            select! {
                _ = &mut reading => child.wait().await,
                exit = child.wait() => {
                    let _ = timeout(TRAILING, &mut reading).await;
                    exit
                }
            }
        };
        timeout(limits.deadline, whole).await
    };
    match ended {
        Ok(exit) => Ok(Finished { exit: exit?, stdout, stderr }),
        Err(_) => {
            child.kill().await?;
            let executable = spec.executable.clone();
            Err(RunError::TimedOut { executable, after: limits.deadline, stdout, stderr })
        }
    }
}

async fn fill(mut pipe: pipe::Receiver, kept: &mut Vec<u8>, most: usize) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let room = most.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::{in_time, shell};

    const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), output: 1000 };

    #[tokio::test]
    async fn both_streams_and_the_code_come_back() {
        let finished = in_time(run(&shell("echo out; echo err >&2; exit 3"), LIMITS)).await.unwrap();
        assert_eq!(finished.exit, Exit::Code(3));
        assert_eq!((&*finished.stdout, &*finished.stderr), (&b"out\n"[..], &b"err\n"[..]));
    }

    #[tokio::test]
    async fn output_is_read_to_its_end_and_kept_up_to_the_limit() {
        let spec = shell("head -c 1000000 /dev/zero; echo told >&2");
        let finished = in_time(run(&spec, LIMITS)).await.unwrap();
        assert_eq!((finished.exit, finished.stdout.len()), (Exit::Code(0), 1000));
        assert_eq!(finished.stderr, b"told\n");
    }

    #[tokio::test]
    async fn f_83_a_command_that_hangs_is_killed_at_its_deadline() {
        let limits = Limits { deadline: Duration::from_millis(100), ..LIMITS };
        let error = in_time(run(&shell("echo begun; sleep 600 & wait"), limits)).await.unwrap_err();
        assert!(matches!(&error, RunError::TimedOut { stdout, .. } if stdout == b"begun\n"), "{error:?}");
        assert!(error.to_string().contains("/bin/sh did not end within 100 ms"), "{error}");
    }
}
