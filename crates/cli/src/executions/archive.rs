//! `dipeo executions export` and `import`: whole runs as files.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use client::{Client, ClientError, Export};

use crate::{
    args::{ExportArgs, ImportArgs},
    error::CliError,
    exit::Exit,
    screen::Screen,
    text,
};

/// Writes a run into a file, or to standard output. A file is there when all of it is.
pub(super) async fn export(args: &ExportArgs, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    let id = &args.execution;
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.ndjson.gz")));
    if path == Path::new("-") {
        if io::stdout().is_terminal() {
            let text =
                "standard output is a terminal, and the file is compressed; give it a name with -o FILE";
            return Err(CliError::Usage(text.to_owned()));
        }
        let mut export = client.export(id).await.map_err(CliError::Start)?;
        copy(&mut export, &mut io::stdout().lock(), "standard output").await?;
        return Ok(Exit::Done);
    }
    let name = path.display().to_string();
    if path.exists() && !args.force {
        return Err(CliError::Usage(format!("{name}: it is there already; --force replaces it")));
    }
    let mut export = client.export(id).await.map_err(CliError::Start)?;
    let part = PathBuf::from(format!("{name}.{}.part", std::process::id()));
    let written = write(&mut export, &part, &path).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            fs::remove_file(&part).unwrap_or_default();
            return Err(error);
        }
    };
    screen.out(text::line(&format!("exported {id} to {name} ({})", text::bytes(bytes))).as_bytes());
    Ok(Exit::Done)
}

async fn write(export: &mut Export, part: &Path, path: &Path) -> Result<u64, CliError> {
    let name = part.display().to_string();
    let open = OpenOptions::new().write(true).create_new(true).open(part);
    let mut file = open.map_err(|error| unwritable(&name, &error))?;
    let bytes = copy(export, &mut file, &name).await?;
    file.sync_all().map_err(|error| unwritable(&name, &error))?;
    fs::rename(part, path).map_err(|error| unwritable(&path.display().to_string(), &error))?;
    Ok(bytes)
}

async fn copy(export: &mut Export, to: &mut impl Write, name: &str) -> Result<u64, CliError> {
    let mut bytes = 0;
    while let Some(chunk) = export.chunk().await.map_err(CliError::Start)? {
        to.write_all(&chunk).map_err(|error| unwritable(name, &error))?;
        bytes += u64::try_from(chunk.len()).unwrap_or_default();
    }
    to.flush().map_err(|error| unwritable(name, &error))?;
    Ok(bytes)
}

/// Takes over runs, and tells of each file what became of it.
pub(super) async fn import(args: &ImportArgs, client: &Client, screen: &Screen) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    for path in &args.files {
        let from = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
        let name = path.display().to_string();
        let file = match tokio::fs::File::open(from).await {
            Ok(file) => file,
            Err(error) => {
                screen.err(&format!("error: {name}: can't be read: {error}"));
                exit = Exit::Refused;
                continue;
            }
        };
        match client.import(file).await {
            Ok(run) => {
                let count = text::count(run.events, "event");
                screen.out(format!("imported {} ({count})", run.execution_id).as_bytes());
            }
            Err(ClientError::Refused(problem)) => {
                screen.err(&format!("error: {name}: {problem}"));
                exit = Exit::Refused;
            }
            Err(error) => return Err(CliError::Start(error)),
        }
    }
    Ok(exit)
}

fn unwritable(name: &str, error: &io::Error) -> CliError {
    CliError::Output(format!("{name}: can't be written: {error}"))
}
