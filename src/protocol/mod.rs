//! Decides, never does: what the two halves say to each other and what follows from it.
//!
//! Events in, next action out. **No clock, file, socket, thread, tokio or quinn here.** Every limit of the program
//! stands in [`limits`].

pub mod dry_run;
pub mod entry;
pub mod failure;
pub mod hard_link;
pub mod keep;
pub mod labels;
pub mod link;
pub mod message;
pub mod receipt;
pub mod receiving;
pub mod request;
pub mod selection;
pub mod sending;
pub mod terms;

/// Every limit of the program: sizes, counts, waits and queues. What the other side says never raises one.
pub mod limits {
    use std::time::Duration;

    /// Major version of the protocol: part of the TLS application protocol, of tickets and of the child's line.
    pub const PROTOCOL_VERSION: u8 = 1;
    /// Longest message on a control or job stream, in bytes; checked before anything is allocated.
    pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
    /// Longest name of one component, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;
    /// Longest path below the receiving directory, in bytes.
    pub const PATH_BYTES_MAX: usize = 4096;
    /// Deepest nesting of directories below the receiving directory.
    pub const DEPTH_MAX: usize = 128;
    /// Smallest chunk size, in bytes.
    pub const CHUNK_BYTES_MIN: u32 = 64 << 10;
    /// Chunk size of files up to [`CHUNKS_MAX`] such chunks, unless another is asked for, in bytes.
    pub const CHUNK_BYTES_DEFAULT: u32 = 1 << 20;
    /// Shortest run of zeros that becomes a hole of a sparse copy, in bytes; runs begin at multiples of it.
    pub const HOLE_BYTES_MIN: usize = 64 << 10;
    // Every chunk begins where a hole may, and where a write past the cache must.
    const _: () = assert!((CHUNK_BYTES_MIN as usize).is_multiple_of(HOLE_BYTES_MIN));
    /// Largest chunk size, in bytes.
    pub const CHUNK_BYTES_MAX: u32 = 4 << 20;
    /// The most that a small file may hold, in bytes: what is longer travels by itself, in two chunks or more.
    pub const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
    /// Most chunks a file may have: bounds the memory of its hashes (the largest file has 4 TiB).
    pub const CHUNKS_MAX: u64 = 1 << 20;
    /// Most files in a group.
    pub const GROUP_FILES_MAX: usize = 256;
    /// Most bytes in a group: files are added until this is reached.
    pub const GROUP_BYTES_MAX: u64 = 4 << 20;
    /// Most bytes of names and directories in the offer of a group.
    pub const GROUP_NAMES_BYTES_MAX: usize = 128 << 10;
    /// Most directories in one message.
    pub const DIRECTORIES_MAX: usize = 1024;
    /// Longest target of a symbolic link, in bytes: the longest that Linux makes.
    pub const LINK_TARGET_BYTES_MAX: usize = 4095;
    /// Most links in one message. Their names and targets count as those of a group do.
    pub const LINKS_MAX: usize = 512;
    /// Most further names of files in one message. They count as the names of a group do.
    pub const FURTHER_NAMES_MAX: usize = 512;
    /// Most further names, and most files of which further ones may come, that a sender keeps in mind: what is beyond them
    /// is told of and travels as a file of its own.
    pub const HARD_LINKS_MAX: usize = 512 << 10;
    /// Most extended attributes of one file or directory.
    pub const LABELS_MAX: usize = 256;
    /// Most bytes of owner and extended attributes of one file or directory, names included: with those of a whole group
    /// before it they fit into a message.
    pub const LABELS_BYTES_MAX: usize = 64 << 10;
    // A message is closed when it holds so many bytes of names and labels, and one more entry may follow.
    const _: () = assert!(GROUP_NAMES_BYTES_MAX + LABELS_BYTES_MAX + 8 * PATH_BYTES_MAX <= MESSAGE_BYTES_MAX);
    /// Most bytes of the labels of directories that the sender keeps until the end.
    pub const DIRECTORY_LABELS_BYTES_MAX: usize = 32 << 20;
    /// Longest name of a user or group, in bytes.
    pub const ACCOUNT_NAME_BYTES_MAX: usize = 256;
    /// Groups under way at once: while some wait for a flush, the others keep disk and processor busy.
    pub const GROUPS_AT_ONCE: usize = 12;
    /// Large files under way at once, if they are so short that all of them count [`FILES_BYTES_AT_ONCE`] together: each takes
    /// three round trips beside its content, and on a long way others have to use them.
    pub const FILES_AT_ONCE: usize = 24;
    /// Bytes of large files under way at once, none counting more than [`FILE_COUNTS_BYTES_MAX`].
    pub const FILES_BYTES_AT_ONCE: usize = POOL_BYTES;
    /// What a long file counts: three of them are under way at once, and no more are half done when a transfer is interrupted.
    pub const FILE_COUNTS_BYTES_MAX: usize = FILES_BYTES_AT_ONCE / 3;
    /// Jobs a receiver accepts at once: groups, files and the last pages of directories.
    pub const JOBS_AT_ONCE_MAX: u32 = 40;
    // A page of links has its place beside them.
    const _: () = assert!(GROUPS_AT_ONCE + FILES_AT_ONCE < JOBS_AT_ONCE_MAX as usize);
    /// Files and links in all jobs that a sender has under way at once.
    pub const ENTRIES_AT_ONCE_MAX: usize = GROUPS_AT_ONCE * GROUP_FILES_MAX + FILES_AT_ONCE + LINKS_MAX;
    /// Chunk streams a receiver accepts at once, unless chunks are smaller than [`CHUNK_BYTES_DEFAULT`].
    ///
    /// One that lost a packet stays open for a round trip more, and so do some of its repairs: on a path of 500 Mbit/s and 100 ms
    /// that loses 3 %, 22 MiB are under way.
    pub const CHUNK_STREAMS_MAX: u32 = 32;
    /// The same for the smallest chunks: as many bytes.
    pub const SMALL_CHUNK_STREAMS_MAX: u32 = CHUNK_STREAMS_MAX * (CHUNK_BYTES_DEFAULT / CHUNK_BYTES_MIN);
    /// Memory for chunks under way on each side, in bytes.
    pub const POOL_BYTES: usize = 40 << 20;
    /// Bytes of one file that the sender reads ahead of its decisions about them, in whole chunks.
    pub const READ_AHEAD_BYTES: usize = 8 << 20;
    // Chunks are decided upon in order: what is read ahead must never keep memory from the chunk that comes first.
    const _: () = assert!(FILES_BYTES_AT_ONCE <= POOL_BYTES && READ_AHEAD_BYTES <= FILE_COUNTS_BYTES_MAX);
    const _: () = assert!(READ_AHEAD_BYTES >= 2 * CHUNK_BYTES_MAX as usize);
    /// Parcels in the queue between two stages.
    pub const QUEUE_PARCELS: usize = 4;
    /// How often each side looks whether a piece got lost between its own stages.
    pub const LOOK_EVERY: Duration = Duration::from_millis(500);
    /// Looks in a row that find a piece between stages that have nothing to do: then it is lost, and asked for again.
    pub const LOOKS_UNTIL_LOST: u32 = 6;
    /// Written bytes after which a file's data are flushed and read back while more arrives; sooner where less is to come.
    pub const SYNC_EVERY_BYTES: u64 = 64 << 20;
    /// With fewer bytes to come, what was written waits for the last flush.
    pub const SYNC_LEAST_BYTES: u64 = 8 << 20;
    /// Hashes in one message.
    pub const HASHES_PER_MESSAGE_MAX: usize = 512;
    /// Times one piece that arrived wrong is sent again before its file fails. A way that swaps bytes once in a million, as
    /// the gateway of the end-to-end paper did, damages two chunks of 1 MiB in three, whenever they pass: of a million
    /// such chunks this many attempts leave 0.02 undelivered.
    pub const RESENDS_MAX: u32 = 40;
    /// Times a small file is sent again because it was stored wrong, or its source read otherwise, and times a piece is
    /// asked for again because it got lost between two stages of either side, before the file fails.
    pub const REWRITES_MAX: u32 = 5;
    /// Whole read-backs of a file after a confirmed mismatch before it fails.
    pub const ROUNDS_MAX: u32 = 2;
    /// From the first packet to the accepted greeting.
    pub const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
    /// A side that is busy says so this often.
    pub const WORKING_EVERY: Duration = Duration::from_secs(5);
    /// Without a message, or [`PROGRESS_BYTES_MIN`] of data, for this long the other side is dropped.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
    /// Bytes that count as progress within [`STALL_TIMEOUT`].
    pub const PROGRESS_BYTES_MIN: u64 = 64 << 10;
    /// Times in a row that a side may say it is busy, and nothing else: then it is dropped (10 minutes).
    pub const WORKING_IN_A_ROW_MAX: u32 = 120;
    /// Connections in a row that end because control data arrived damaged, with nothing brought on by any of them: then the
    /// transfer is given up.
    pub const GARBLED_CONNECTIONS_MAX: u32 = 5;
    /// How long a staging file held by another process is waited for: a killed run needs a moment to let go.
    pub const LOCK_WAIT: Duration = Duration::from_secs(5);
    /// How long a lost connection is tried again, unless the person says otherwise.
    pub const RETRY_FOR_DEFAULT: Duration = Duration::from_secs(5 * 60);
    /// A status file is written anew this often.
    pub const STATUS_EVERY: Duration = Duration::from_secs(1);
    /// Longest status file of an earlier run that is looked at, in bytes.
    pub const STATUS_BYTES_MAX: usize = 64 << 10;
    /// First and longest pause between two attempts to connect again.
    pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);
    /// See [`BACKOFF_FIRST`].
    pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
    /// Connections that a listening receiver holds at once before their greeting.
    pub const GREETINGS_AT_ONCE: usize = 16;
    /// Addresses in a ticket.
    pub const TICKET_ADDRESSES_MAX: usize = 8;
    /// Port of a standing receiver where none is named, chosen by us: assigned to nobody by IANA, and below the ports that
    /// Linux gives away by itself (32768 and up), so that it is free when the receiver starts.
    pub const STANDING_PORT: u16 = 29984;
    /// Keys in the list of a standing receiver.
    pub const ALLOWED_KEYS_MAX: usize = 4096;
    /// Most bytes handed to the network at once where a rate is kept to.
    pub const PACE_SLICE_BYTES: usize = 64 << 10;
    /// What a limited rate leaves unused for so long may still be used, and no more: timers are not exact.
    pub const PACE_AHEAD: Duration = Duration::from_millis(50);
    /// The slowest rate that may be asked for, in bytes a second.
    pub const PACE_MIN: u64 = 1 << 10;
    // The receiver sees progress in time, and the sender takes what it sends for progress.
    const _: () = assert!(PACE_MIN * WORKING_EVERY.as_secs() * WORKING_IN_A_ROW_MAX as u64 > 2 * PROGRESS_BYTES_MIN);
    /// In a dry run a side that reads a large file says so each time it has read so many bytes more.
    pub const CLAIM_WORD_EVERY_BYTES: u64 = 1 << 30;
    // A disk that reads 2 MiB a second is not taken for one that stands still.
    const _: () = assert!(CLAIM_WORD_EVERY_BYTES < (2 << 20) * WORKING_EVERY.as_secs() * WORKING_IN_A_ROW_MAX as u64);
    /// How long the name of a receiver may take to be looked up.
    pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
    /// Connections of one key that a standing receiver serves at once.
    pub const CONNECTIONS_PER_KEY_MAX: usize = 8;
    /// Transfers of one key that a standing receiver keeps in mind after their connection was lost.
    pub const TRANSFERS_PER_KEY_MAX: usize = 64;
    /// How long it keeps one in mind.
    pub const TRANSFER_KEPT_FOR: Duration = Duration::from_secs(3600);
    /// From whoever lives something is heard within this time: it shows that it does so every [`KEEP_ALIVE_EVERY`].
    pub const SILENT_AFTER: Duration = Duration::from_secs(6);
    const _: () = assert!(KEEP_ALIVE_EVERY.as_secs() < SILENT_AFTER.as_secs());
    const _: () = assert!(SILENT_AFTER.as_secs() < GREETING_TIMEOUT.as_secs());
    /// Files under way or given up within one transfer whose bytes are counted by name.
    pub const COUNTED_FILES_MAX: usize = 16 << 10;
    /// Bytes of small files that a session holds at once before they are staged.
    pub const GROUPS_MEMORY_BYTES: usize = 24 << 20;
    /// How long a further address of a receiver waits for the one before it to answer (RFC 8305, section 8).
    pub const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
    /// How long UDP may be silent before the pipe of ssh is used: three packets that got lost, or a way that is blocked.
    pub const UDP_SILENCE: Duration = Duration::from_secs(3);
    /// How often a receiver that knows where its sender is looks whether to call there.
    pub const CALL_EVERY: Duration = Duration::from_secs(1);
    /// Sources and options in the request of a receiver that pulls.
    pub const REQUEST_WORDS_MAX: usize = 4096;
    /// Their bytes together.
    pub const REQUEST_BYTES_MAX: usize = 128 << 10;
    /// Notices of a sender that serves a request that are shown: further ones say nothing new.
    pub const NOTICES_MAX: u32 = 64;
    /// Longest path in a report of a sender that serves a request, in bytes: a source as it was asked for, and what lies
    /// beneath it.
    pub const REPORT_PATH_BYTES_MAX: usize = 2 * PATH_BYTES_MAX;
    /// Reports that may wait until the receiver has heard them, before the walk waits, too.
    pub const REPORTS_AHEAD: usize = 1024;
    /// The most that may wait at all: what the jobs under way can add to [`REPORTS_AHEAD`]. A receiver that hears none is
    /// dropped.
    pub const REPORTS_WAITING_MAX: usize = REPORTS_AHEAD + 2 * ENTRIES_AT_ONCE_MAX;
    /// A receiver that pulls says what it has heard after so many reports.
    pub const REPORTS_PER_ANSWER: u64 = 64;
    /// How often a sender that serves a request says how far it is.
    pub const PROGRESS_EVERY: Duration = Duration::from_millis(200);
    /// How long a sender that serves a request, and lost its receiver, waits for it to come back.
    pub const BACK_WITHIN: Duration = Duration::from_secs(60 * 60);
    /// How long a side that has said everything waits for the other to close the connection: the one packet of it may get
    /// lost, and then nobody is there any more.
    pub const LAST_WORD_WAIT: Duration = Duration::from_secs(3);
    /// How long a side that leaves waits until its last packets are out.
    pub const CLOSE_WAIT: Duration = Duration::from_secs(1);
    /// How long a child process may take to end once its standard input is closed.
    pub const CHILD_END_WAIT: Duration = Duration::from_secs(5);
    /// How long ssh may take to log in and the program there to answer: a person may have to type a password.
    pub const SSH_LINE_WAIT: Duration = Duration::from_secs(150);
    /// Lines that the start-up files of a shell far away may print before the answer.
    pub const SHELL_LINES_MAX: usize = 200;
    /// Bytes kept of one line that ssh, or the far side through it, says to the person.
    pub const REMARK_BYTES_MAX: usize = 1 << 10;
    /// How long the last of such lines are waited for once ssh has ended.
    pub const LAST_REMARKS_WAIT: Duration = Duration::from_millis(500);
    /// How long the addresses of a host may take to be found out.
    pub const LOOK_UP_WAIT: Duration = Duration::from_secs(5);
    /// Bytes read of what ssh says of its settings.
    pub const SSH_ANSWER_BYTES_MAX: usize = 64 << 10;
    /// Longest list of hashes or receipts that `careful-check` reads, in bytes.
    pub const LIST_BYTES_MAX: u64 = 512 << 20;
    /// Longest line between a side and the one that it starts, in bytes.
    pub const CHILD_LINE_BYTES_MAX: usize = 1 << 10;
    /// A silent connection shows that it lives this often.
    pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
    /// Without any packet for this long a connection is lost.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Names in one message that says which may stay.
    pub const PRUNE_NAMES_MAX: usize = 16 << 10;
    /// Bytes of paths in one message that says what was removed.
    pub const PRUNED_BYTES_MAX: usize = 64 << 10;
    /// Most bytes of all patterns together that guard what would be removed: they cross the wire.
    pub const GUARD_BYTES_MAX: usize = 64 << 10;
    /// Most patterns of a transfer, with those of all its files.
    pub const RULES_MAX: usize = 1024;
    /// Longest pattern, in bytes.
    pub const RULE_BYTES_MAX: usize = 1024;
    /// Longest file of patterns, in bytes.
    pub const RULES_FILE_BYTES_MAX: u64 = 1 << 20;
    /// Bytes of one stream that may arrive unread: few enough that losses leave no 1024 gaps in it, which QUIC ends.
    pub const STREAM_WINDOW_BYTES: u32 = 2 << 20;
    /// Bytes that may arrive unread on a whole connection before its greeting.
    pub const RECEIVE_WINDOW_GREETING_BYTES: u32 = 256 << 10;
    /// Bytes that may arrive unread on a whole connection.
    pub const RECEIVE_WINDOW_BYTES: u32 = 48 << 20;
    /// Bytes sent on a connection and not yet acknowledged: whatever there is memory for.
    pub const SEND_WINDOW_BYTES: u64 = POOL_BYTES as u64;
    /// Bytes sent over a pipe and not yet acknowledged. An ssh channel takes 2 MiB ahead, and the buffers below it not
    /// much less: more would only wait there, and every message behind it.
    pub const PIPE_WINDOW_BYTES: u64 = 4 << 20;
    /// Moments at which packets left that congestion control keeps in mind until they are acknowledged.
    pub const SENDINGS_KEPT_MAX: usize = 16 << 10;
    /// First packets of strangers that wait to be looked at.
    pub const INCOMING_MAX: usize = 1024;
    /// Bytes kept of one such stranger.
    pub const INCOMING_BUFFER_BYTES: u64 = 64 << 10;
    /// Bytes kept of all of them.
    pub const INCOMING_BUFFERS_BYTES: u64 = 16 << 20;
}

#[cfg(test)]
mod tests;
