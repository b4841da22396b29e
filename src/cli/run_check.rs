//! `careful-check`: arguments in, exit code out.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::arguments::{self, CheckArguments, CheckCommand, OutputArguments, ReceiptArguments};
use super::exit_code::ExitCode;
use super::inspector::Inspector;
use super::logging;
use super::progress::{self, ProgressDisplay};
use super::receipt_line;
use super::report::Report;
use super::status::StatusFile;
use crate::check::{self, Expected, Task};
use crate::hash::Root;
use crate::progress::Counters;
use crate::protocol::failure::Failure;
use crate::protocol::limits::LIST_BYTES_MAX;
use crate::protocol::receipt::{Receipt, ReceiptFile};
use crate::record::manifest;
use crate::seams::disk::{Disk, Reading, Timestamp, read_full};
use crate::seams::os_disk::OsDisk;
use crate::wire::identity::PublicKey;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let arguments: CheckArguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    let output = match &arguments.command {
        CheckCommand::Seal(seal) => &seal.output,
        CheckCommand::Verify(verify) => &verify.output,
        CheckCommand::Receipt(receipt) => &receipt.output,
    };
    let counters = Arc::new(Counters::default());
    counters.only_checks();
    let display = progress::wanted(output).then(|| progress::start(Arc::clone(&counters)));
    let code = with_output(&arguments.command, output, &counters, display.as_ref());
    if let Some(display) = display {
        display.finish();
    }
    code.finish()
}

/// The end of the program, once the bar is out of the way.
struct Finish {
    inspector: Inspector,
    status: Option<StatusFile>,
    is_sample: bool,
}

impl Finish {
    /// Before anything is read.
    fn failed(inspector: Inspector) -> Self {
        Self { inspector, status: None, is_sample: false }
    }

    fn finish(self) -> std::process::ExitCode {
        let code = self.inspector.finish(self.is_sample);
        if let Some(status) = self.status {
            status.end(code);
        }
        code.into()
    }
}

fn with_output(
    command: &CheckCommand,
    output: &OutputArguments,
    counters: &Arc<Counters>,
    display: Option<&ProgressDisplay>,
) -> Finish {
    let suspender = display.map(ProgressDisplay::suspender);
    let lists = matches!(command, CheckCommand::Seal(arguments) if arguments.manifest.is_some());
    let inspector = Inspector::new(Report::new("careful-check", output, suspender.clone()), lists);
    if let Err(words) = logging::start(output, suspender.unwrap_or_default()) {
        inspector.failed(&words, None, ExitCode::Usage);
        return Finish::failed(inspector);
    }
    let disk = OsDisk;
    let status = match StatusFile::begin(&disk, output.status.as_deref(), &inspector.report, Some(counters)) {
        Ok(status) => Some(status),
        Err(code) => {
            inspector.told(code);
            return Finish::failed(inspector);
        }
    };
    let done = match command {
        CheckCommand::Seal(arguments) => {
            let task = if arguments.manifest.is_some() { Task::List } else { Task::Seal { renew: arguments.renew } };
            let plan = arguments.reading.plan(&arguments.paths, task, None);
            check::run(&disk, &plan, &inspector, counters);
            arguments.manifest.as_ref().map_or(Ok(()), |path| write_manifest(&disk, path, &inspector))
        }
        CheckCommand::Verify(arguments) => {
            let plan = arguments.reading.plan(&arguments.paths, Task::Verify, arguments.sample);
            match &arguments.manifest {
                None => {
                    check::run(&disk, &plan, &inspector, counters);
                    Ok(())
                }
                Some(path) => read_manifest(&disk, path, &inspector)
                    .map(|expected| check::compare(&disk, expected, &plan, &inspector, counters)),
            }
        }
        CheckCommand::Receipt(arguments) => receipts(&disk, arguments, &inspector).map(|expected| {
            let plan = arguments.reading.plan(&[], Task::Verify, None);
            check::compare(&disk, expected, &plan, &inspector, counters);
        }),
    };
    if let Err((words, hint, code)) = done {
        inspector.failed(&words, hint, code);
    }
    let is_sample = matches!(command, CheckCommand::Verify(arguments) if arguments.sample.is_some());
    Finish { inspector, status, is_sample }
}

/// Words, the next step, and the code.
type Stop = (String, Option<&'static str>, ExitCode);

fn write_manifest(disk: &dyn Disk, path: &Path, inspector: &Inspector) -> Result<(), Stop> {
    let beside = sidecar_path(path);
    let Some(name) = beside.to_str() else {
        return Err((format!("{}: a list of b3sum needs a name in UTF-8", path.display()), None, ExitCode::Usage));
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made_seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    let (list, sidecar) = manifest::encode(name, &inspector.take_lines(), made_seconds);
    for (path, text) in [(&beside, sidecar), (&path.to_owned(), list)] {
        disk.create_private(path, text.as_bytes()).map_err(|error| {
            let hint = "remove the old list, or choose another name";
            let hint = (error.kind() == io::ErrorKind::AlreadyExists).then_some(hint);
            (format!("cannot write {}: {error}", path.display()), hint, ExitCode::FileIo)
        })?;
    }
    Ok(())
}

fn read_manifest(disk: &dyn Disk, path: &Path, inspector: &Inspector) -> Result<Vec<Expected>, Stop> {
    let list = read_text(disk, path)?;
    let beside = sidecar_path(path);
    let is_ours = manifest::sidecar_of(&list).is_some_and(|named| Path::new(&named).file_name() == beside.file_name());
    let sidecar = if is_ours { Some(read_text(disk, &beside)?) } else { None };
    if sidecar.is_none() {
        inspector.report.notice(&format!(
            "{} tells no sizes and times: what differs may be meant, and is called corrupt all the same",
            path.display()
        ));
    }
    let lines = manifest::decode(&list, sidecar.as_deref())
        .map_err(|error| (format!("{}: {error}", path.display()), None, ExitCode::Partial))?;
    let expected = |line: manifest::Line| Expected {
        path: PathBuf::from(line.path),
        root: line.root,
        length_bytes: line.known.map(|(length, _)| length),
        modified: line.known.map(|(_, modified)| modified),
    };
    Ok(lines.into_iter().map(expected).collect())
}

fn sidecar_path(manifest: &Path) -> PathBuf {
    let mut path = OsString::from(manifest);
    path.push(manifest::SIDECAR_SUFFIX);
    PathBuf::from(path)
}

/// What the receipts whose signatures are right say of each file, the last of each.
fn receipts(disk: &dyn Disk, arguments: &ReceiptArguments, inspector: &Inspector) -> Result<Vec<Expected>, Stop> {
    let text = read_text(disk, &arguments.file)?;
    let mut files: HashMap<PathBuf, (u64, Expected)> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let receipt = match signed(line, arguments.key) {
            Ok(receipt) => receipt,
            Err(words) => {
                let words = format!("{} line {number}: {words}", arguments.file.display());
                let hint = "what it says is not relied on";
                inspector.failed(&words, Some(hint), ExitCode::of(Failure::ReceiptInvalid));
                continue;
            }
        };
        for file in &receipt.files {
            let Some(path) = place_of(&receipt, file, arguments.root.as_deref()) else {
                let words = "the receipts do not name the directory that was received into".to_owned();
                return Err((words, Some("name it with --root DIR"), ExitCode::Usage));
            };
            let newest = files.get(&path).map_or(0, |(time, _)| *time);
            if receipt.time_seconds >= newest {
                let expected = Expected {
                    path: path.clone(),
                    root: Root(file.root),
                    length_bytes: Some(file.length_bytes),
                    modified: Some(Timestamp {
                        seconds: file.attributes.modified_seconds,
                        nanoseconds: file.attributes.modified_nanoseconds,
                    }),
                };
                files.insert(path, (receipt.time_seconds, expected));
            }
        }
    }
    let mut expected: Vec<Expected> = files.into_values().map(|(_, expected)| expected).collect();
    expected.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(expected)
}

/// The receipt of a line whose signature is right, by this key if one is given.
fn signed(line: &str, key: Option<PublicKey>) -> Result<Receipt, String> {
    let (receipt, signature) = receipt_line::from_line(line).map_err(|error| error.to_string())?;
    let signer = PublicKey(receipt.receiver);
    if key.is_some_and(|key| key != signer) {
        return Err(format!("signed by another key, {signer}"));
    }
    if !signer.verify(&receipt.statement(), &signature) {
        return Err("the signature is not right: the receipt is damaged, or forged".to_owned());
    }
    // Who signs may still name any file of this host: it is only read.
    let is_below = |file: &ReceiptFile| {
        let path = Path::new(OsStr::from_bytes(&file.path));
        path.components().all(|component| matches!(component, Component::Normal(_)))
    };
    if receipt.files.iter().all(is_below) { Ok(receipt) } else { Err("a path leads out of its directory".to_owned()) }
}

fn place_of(receipt: &Receipt, file: &ReceiptFile, root: Option<&Path>) -> Option<PathBuf> {
    let named = (!receipt.directory.is_empty()).then(|| Path::new(OsStr::from_bytes(&receipt.directory)));
    Some(root.or(named)?.join(OsStr::from_bytes(&file.path)))
}

/// A list or receipts, whole.
fn read_text(disk: &dyn Disk, path: &Path) -> Result<String, Stop> {
    let read = || {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = disk.open_directory(parent)?.open_file(name, Reading::Cached)?;
        let length = file.metadata()?.length_bytes;
        if length > LIST_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let mut bytes = vec![0; usize::try_from(length).expect("lists fit into memory")];
        let read = read_full(file.as_ref(), &mut bytes, 0)?;
        bytes.truncate(read);
        String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
    };
    read().map_err(|error| (format!("cannot read {}: {error}", path.display()), None, ExitCode::FileIo))
}
