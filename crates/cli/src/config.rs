//! `dipeo config`.

use serde_json::json;
use server::Config;

use crate::{
    args::{ConfigArgs, ConfigCommand, ConfigShowArgs},
    error::CliError,
    exit::Exit,
    screen::Screen,
    serve, text,
};

/// Does what is said of the configuration.
pub(crate) fn config(args: &ConfigArgs, screen: &Screen) -> Result<Exit, CliError> {
    let ConfigCommand::Show(args) = &args.command;
    show(args, screen)
}

/// Shows every setting, and where its value comes from. None of them is a secret.
fn show(args: &ConfigShowArgs, screen: &Screen) -> Result<Exit, CliError> {
    let sources = serve::sources(args.config.clone())?;
    let explained = Config::explain(&sources).map_err(|error| CliError::Startup(error.to_string()))?;
    if args.json {
        let settings = explained.settings.iter().map(|setting| {
            let origin = setting.origin.to_string();
            json!({ "key": setting.key, "value": setting.value, "origin": origin })
        });
        let settings: Vec<_> = settings.collect();
        screen.out(json!({ "settings": settings }).to_string().as_bytes());
        return Ok(Exit::Done);
    }
    let lines: Vec<String> = explained
        .settings
        .iter()
        .map(|setting| match &setting.text {
            Some(value) => format!("{} = {value}", setting.key),
            None => format!("# {} is not set", setting.key),
        })
        .collect();
    let widths = lines.iter().map(|line| console::measure_text_width(line)).filter(|width| *width <= 60);
    let width = widths.max().unwrap_or(0);
    for (line, setting) in lines.iter().zip(&explained.settings) {
        let space = " ".repeat(width.saturating_sub(console::measure_text_width(line)));
        screen.out(text::line(&format!("{line}{space}  # {}", setting.origin)).as_bytes());
    }
    Ok(Exit::Done)
}
