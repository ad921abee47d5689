//! What is left of people who have come and gone: nothing. The bot runs in a process of its own, which counts what it holds.

use crate::support::echoes::{Person, bot, plain};
use crate::support::pause;
use crate::support::server::TestServer;
use crate::support::within;
use roombot::room::media::{Codec, MediaKind};
use roombot::signal::for_url;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

/// The room of the counting bot; set for its process only.
const ROOM: &str = "ROOMBOT_COUNTED_ROOM";
/// People who come at once.
const CROWD: usize = 10;
/// Crowds between the two counts.
const CROWDS: usize = 8;
/// Bytes of the heap that may stay of each of them, on average: what is kept for the bot's report is some hundred, what pools and caches
/// of libraries hold differs by two or three kilobytes from count to count.
const MOST: i64 = 6 * 1024;
/// So long after the last one has left, what was theirs is freed: connections that were closed wait for ten seconds.
const FREED: Duration = Duration::from_secs(13);

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Holds {
    /// Bytes that are allocated and not freed, by whatever library.
    heap: i64,
    threads: usize,
    files: usize,
}

/// Runs as a process of its own: an echo that answers each line of its input with what it holds, and ends with its input.
#[test]
#[ignore = "the process of nothing_stays_of_people_who_come_and_go"]
fn counting_bot() {
    let Ok(url) = std::env::var(ROOM) else { return };
    // Threads for what blocks end soon after it, so that they need not be told from those that stay.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_keep_alive(Duration::from_millis(200)).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let bot = bot(for_url(&url).expect("a room").as_ref(), plain()).await;
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            let Holds { heap, threads, files } = holds();
            println!("holds {heap} {threads} {files}");
        }
        bot.finish().await;
    });
}

fn holds() -> Holds {
    let count = |folder: &str| std::fs::read_dir(folder).expect("a process").count();
    // SAFETY: neither takes a pointer or has a condition.
    let heap = unsafe {
        libc::malloc_trim(0);
        libc::mallinfo2()
    };
    let heap = i64::try_from(heap.uordblks + heap.hblkhd).expect("a size");
    Holds { heap, threads: count("/proc/self/task"), files: count("/proc/self/fd") }
}

struct Counted {
    child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Counted {
    fn start(url: &str) -> Counted {
        let mut command = tokio::process::Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "leaks::counting_bot", "--ignored", "--nocapture", "--test-threads", "1"]);
        // No caches of freed blocks for each thread: they count as allocated.
        command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.arena_max=1");
        command.env(ROOM, url).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let ask = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Counted { child, ask, answers }
    }

    async fn holds(&mut self) -> Holds {
        self.ask.write_all(b"\n").await.expect("it reads");
        let answer = async {
            while let Some(line) = self.answers.next_line().await.expect("UTF-8") {
                if let Some((_, numbers)) = line.split_once("holds ") {
                    let numbers: Vec<i64> = numbers.split(' ').map(|n| n.parse().expect("a number")).collect();
                    return Holds { heap: numbers[0], threads: numbers[1] as usize, files: numbers[2] as usize };
                }
            }
            panic!("the bot has ended")
        };
        within(20, "it counts", answer).await
    }

    /// Waits until it holds no more than this.
    async fn comes_to(&mut self, most: Holds) -> Holds {
        let late = Instant::now() + 2 * FREED;
        loop {
            let now = self.holds().await;
            if now.heap <= most.heap && now.threads <= most.threads && now.files <= most.files {
                return now;
            }
            assert!(Instant::now() < late, "it holds {now:?}, and may hold {most:?}");
            pause(Duration::from_millis(500), "what it frees is freed").await;
        }
    }
}

/// So many crowds come and go. Half of each stay to see themselves, the others are gone before anything is agreed.
async fn visits(url: &str, crowds: usize) {
    for _ in 0..crowds {
        let people = (0..CROWD).map(|n| async move {
            let room = for_url(url).expect("a room");
            let mut person = Person::join(room.as_ref(), &format!("P{n}"), Codec::Vp8, None).await;
            if n % 2 == 0 {
                person.play("fixtures/alice.webm");
                person.sees(25, "themselves", |sight| sight.count(MediaKind::Audio) > 0).await;
            }
            person.leave().await;
        });
        futures_util::future::join_all(people).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_people_who_come_and_go() {
    let server = TestServer::start().await;
    let url = server.room("doors");
    let mut counted = Counted::start(&url);
    // The first ones fill what is filled once: plugins, pools, arenas of threads.
    visits(&url, 6).await;
    pause(FREED, "what it holds of them is freed, all but what stays").await;
    let before = counted.holds().await;
    visits(&url, CROWDS).await;
    let stays = MOST * (CROWDS * CROWD) as i64;
    let most = Holds { heap: before.heap + stays, threads: before.threads + 2, files: before.files + 2 };
    let after = counted.comes_to(most).await;
    println!("{before:?}, then {after:?}, of {} people", CROWDS * CROWD);
    drop(counted.ask);
    let ended = within(15, "the bot ends", counted.child.wait()).await.expect("a child");
    assert!(ended.success(), "{ended}");
}
