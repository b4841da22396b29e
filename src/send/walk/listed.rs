//! Walking by a list: only what its paths name is taken, in its order, with the directories above.
//!
//! The list is read as it is walked. What it names twice is taken once: for that 16 bytes of each path's hash are kept.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Node, SourceDirectory, Walk, join};
use crate::protocol::entry::Name;
use crate::protocol::failure::Failure;
use crate::protocol::limits::PATH_BYTES_MAX;
use crate::seams::disk::Kind;

/// What comes in as the list.
type Reader = Box<dyn Read + Send>;

/// A list of paths below the one source, read once.
#[derive(Clone)]
pub struct PathList {
    reader: Arc<Mutex<Option<Reader>>>,
    /// Paths end with a zero byte and not with the line.
    pub zero: bool,
    /// Directories that it names are entered, with all that is in them.
    pub recursive: bool,
}

impl std::fmt::Debug for PathList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PathList").field("zero", &self.zero).finish_non_exhaustive()
    }
}

/// The same list, and not an equal one.
impl PartialEq for PathList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.reader, &other.reader)
    }
}

impl Eq for PathList {}

impl PathList {
    /// A list that is read from here.
    #[must_use]
    pub fn new(reader: Reader, zero: bool, recursive: bool) -> Self {
        Self { reader: Arc::new(Mutex::new(Some(reader))), zero, recursive }
    }

    /// The names that the paths of a list begin with; nothing where one means all that there is.
    #[must_use]
    pub fn first_names(mut list: &[u8], zero: bool) -> Option<HashSet<Name>> {
        let mut names = HashSet::new();
        while let Ok(Some(line)) = next_path(&mut list, zero) {
            let Line::Path(path) = line else { continue };
            let first = path.split(|byte| *byte == b'/').find(|component| !matches!(*component, b"" | b"."))?;
            // What is no name is not sent either.
            names.extend(Name::new(first).ok());
        }
        Some(names)
    }
}

/// What a walk by a list has met.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Directories by their path.
    nodes: HashMap<Vec<u8>, Arc<Node>>,
    files: HashSet<[u8; 16]>,
}

impl Met {
    /// The directory of this path, if it was met before.
    pub(super) fn node(&self, path: &[u8]) -> Option<Arc<Node>> {
        self.nodes.get(path).cloned()
    }

    pub(super) fn met_node(&mut self, path: Vec<u8>, node: &Arc<Node>) {
        self.nodes.insert(path, Arc::clone(node));
    }

    /// Whether the file of this path is a new one.
    pub(super) fn is_new_file(&mut self, path: &[u8]) -> bool {
        let hash = blake3::hash(path);
        self.files.insert(*hash.as_bytes().first_chunk().expect("32 bytes hold 16"))
    }
}

/// How far a directory is entered.
pub(super) const ALL_LEVELS: u32 = u32::MAX;

impl Walk {
    /// Takes what the list names below a source.
    pub(super) fn list(&mut self, source: &Path, shown: &[u8], list: &PathList) {
        let Some(reader) = list.reader.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let root = match self.source_directory(source, shown) {
            Ok(root) => Arc::new(root),
            Err(error) => return self.missing(shown, &error),
        };
        self.met = Some(Met::default());
        let mut lines = BufReader::new(reader);
        // The directories of the last path, open: neighbours in a list mostly share them.
        let mut chain: Vec<Arc<SourceDirectory>> = vec![root];
        while !self.stopped {
            match next_path(&mut lines, list.zero) {
                Ok(Some(Line::Path(path))) => self.listed(&mut chain, &path, list.recursive),
                Ok(Some(Line::TooLong(start))) => self.observer.failed(&start, Failure::PathTooLong, None),
                Ok(None) => break,
                Err(error) => {
                    let detail = format!("reading the list of paths: {error}");
                    return self.observer.failed(shown, Failure::SourceIo, Some(&detail));
                }
            }
        }
    }

    fn listed(&mut self, chain: &mut Vec<Arc<SourceDirectory>>, path: &[u8], recursive: bool) {
        let components: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
        let shown = join(&chain[0].shown, path);
        if components.contains(&&b".."[..]) {
            return self.observer.failed(&shown, Failure::NameRefused, Some("a path of a list may not hold .."));
        }
        let levels = match path {
            _ if recursive => ALL_LEVELS,
            [.., b'/'] | b"." | [.., b'/', b'.'] => 1,
            _ => 0,
        };
        let Some((last, above)) = components.split_last() else {
            return self.enter_levels(levels, &Arc::clone(&chain[0]));
        };
        for (depth, name) in above.iter().enumerate() {
            let is_open = chain.get(depth + 1).is_some_and(|open| open.name() == Some(*name));
            if !is_open {
                chain.truncate(depth + 1);
                match self.descend(&chain[depth], name) {
                    Ok(directory) => chain.push(directory),
                    Err(problem) => return self.observer.failed(&shown, problem.failure, problem.detail.as_deref()),
                }
            }
        }
        chain.truncate(above.len() + 1);
        let before = std::mem::replace(&mut self.levels, levels);
        self.named(&Arc::clone(&chain[above.len()]), last, &shown);
        self.levels = before;
    }

    /// The directory of this name in this one, on the way to what is listed.
    fn descend(&mut self, holder: &Arc<SourceDirectory>, name: &[u8]) -> Result<Arc<SourceDirectory>, super::Problem> {
        let name = Name::new(name).map_err(|_| Failure::NameRefused)?;
        let metadata = holder.handle.metadata_of(name.as_os_str()).map_err(|error| not_there(&error))?;
        match metadata.kind {
            Kind::Directory => {}
            Kind::Link => {
                let detail = Some("it lies behind a symbolic link, which is not followed".to_owned());
                return Err(super::Problem { failure: Failure::SourceMissing, detail });
            }
            Kind::File | Kind::Special => return Err(Failure::SourceMissing.into()),
        }
        let shown = join(&holder.shown, name.as_bytes());
        let handle = holder.handle.open_directory(name.as_os_str());
        let handle = handle.map_err(|error| super::Problem::reading(&error))?;
        let labels = self.labels_of_directory(Some(handle.as_ref()), &metadata, &shown);
        let (node, _) = self.node(holder, name, &metadata, labels).ok_or(Failure::PathTooLong)?;
        Ok(Arc::new(SourceDirectory { handle, only_device: holder.only_device, shown: shown.into(), node: Some(node) }))
    }

    /// The last name of a listed path: missing is a failure of its own here.
    fn named(&mut self, holder: &Arc<SourceDirectory>, name: &[u8], shown: &[u8]) {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(name);
        match holder.handle.metadata_of(name) {
            Ok(metadata) => self.item(holder, name, Some(metadata.kind), Some(metadata)),
            Err(error) => {
                let problem = not_there(&error);
                self.observer.failed(shown, problem.failure, problem.detail.as_deref());
            }
        }
    }
}

fn not_there(error: &io::Error) -> super::Problem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::SourceMissing.into(),
        _ => super::Problem::reading(error),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Path(Vec<u8>),
    /// Longer than any path may be: how it begins.
    TooLong(Vec<u8>),
}

/// The next path of a list. In one of lines those that are empty or begin with `#` or `;` are none, as in rsync.
fn next_path(lines: &mut impl BufRead, zero: bool) -> io::Result<Option<Line>> {
    let end = if zero { 0 } else { b'\n' };
    loop {
        let mut path = Vec::new();
        if lines.by_ref().take(PATH_BYTES_MAX as u64 + 2).read_until(end, &mut path)? == 0 {
            return Ok(None);
        }
        let is_whole = path.last() == Some(&end);
        if is_whole {
            path.pop();
        }
        if path.len() > PATH_BYTES_MAX {
            // The rest is taken in pieces, so that a list without ends takes no memory.
            let mut rest = Vec::new();
            while !is_whole && lines.by_ref().take(1 << 16).read_until(end, &mut rest)? > 0 && rest.last() != Some(&end)
            {
                rest.clear();
            }
            path.truncate(64);
            return Ok(Some(Line::TooLong(path)));
        }
        if !zero {
            path.truncate(path.strip_suffix(b"\r").unwrap_or(&path).len());
        }
        let says_nothing = path.is_empty() || (!zero && matches!(path[0], b'#' | b';'));
        if !says_nothing {
            return Ok(Some(Line::Path(path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &[u8], zero: bool) -> Vec<Line> {
        let mut lines = BufReader::with_capacity(7, text);
        std::iter::from_fn(|| next_path(&mut lines, zero).expect("a list")).collect()
    }

    fn path(text: &[u8]) -> Line {
        Line::Path(text.to_vec())
    }

    #[test]
    fn lines_are_paths_but_for_comments_and_empty_ones() {
        assert_eq!(paths(b"a\n\n# no\n;no\nb/c\r\nd e", false), [path(b"a"), path(b"b/c"), path(b"d e")]);
        assert_eq!(paths(b"", false), []);
    }

    #[test]
    fn the_first_names_of_a_list_are_all_that_may_come_of_it() {
        let names = |text: &str| {
            let names = PathList::first_names(text.as_bytes(), false)?;
            let mut names: Vec<_> =
                names.iter().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect();
            names.sort();
            Some(names)
        };
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names("a/b\n# no\n./c\n/d\na\n../x\n"), some(&["a", "c", "d"]));
        assert_eq!(names(""), some(&[]));
        for all in [".", "./", "a\n/\n"] {
            assert_eq!(names(all), None, "{all}");
        }
    }

    #[test]
    fn between_zero_bytes_every_byte_is_meant() {
        assert_eq!(paths(b"a\nb\0#c\0\0d\r\0e", true), [path(b"a\nb"), path(b"#c"), path(b"d\r"), path(b"e")]);
    }

    #[test]
    fn a_line_longer_than_any_path_is_told_and_the_next_is_read() {
        for extra in [1, 2, 3, 1 << 16, (1 << 16) + 1, 1 << 18] {
            let text = [&vec![b'x'; PATH_BYTES_MAX + extra][..], b"\nnext\n"].concat();
            assert_eq!(paths(&text, false), [Line::TooLong(vec![b'x'; 64]), path(b"next")], "{extra}");
        }
        let longest = vec![b'x'; PATH_BYTES_MAX];
        assert_eq!(paths(&[&longest[..], b"\nnext"].concat(), false), [path(&longest), path(b"next")]);
        assert_eq!(paths(&vec![b'x'; 1 << 20], true), [Line::TooLong(vec![b'x'; 64])]);
    }
}
