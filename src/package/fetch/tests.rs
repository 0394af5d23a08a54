//! The machine against servers that do what F-43 to F-50 say, in virtual time, byte by byte.

use std::collections::VecDeque;

use super::*;

/// A server that holds one file and breaks in a way; what it sends goes into a file as the supervisor would keep it.
struct World {
    fetch: Fetch,
    content: Vec<u8>,
    file: Vec<u8>,
    now: Duration,
    asked: Vec<Get>,
    due: VecDeque<Get>,
    sent: u64,
    hung: u32,
}

const URL: &str = "https://packages.example.com/otelcol.tar.gz";
const TAG: &str = "\"one\"";

fn wanted(size: Option<u64>) -> Wanted {
    let headers = vec![("authorization".to_owned(), "Bearer t".to_owned())];
    Wanted { url: URL.parse().unwrap(), headers, size, cap: 1 << 30 }
}

fn ok(length: usize) -> Answer {
    Answer { status: 200, etag: Some(TAG.into()), content_length: Some(length as u64), ..Answer::default() }
}

fn part(from: u64, length: usize) -> Answer {
    let content_range = Some(format!("bytes {from}-{}/{length}", length - 1));
    Answer { status: 206, etag: Some(TAG.into()), content_range, ..Answer::default() }
}

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn to(location: &str) -> Answer {
    Answer { status: 302, location: Some(location.into()), ..Answer::default() }
}

impl World {
    fn new(length: usize) -> Self {
        Self::from(length, wanted(Some(length as u64)), Rules::default(), Part::default())
    }

    fn from(length: usize, wanted: Wanted, rules: Rules, part: Part) -> Self {
        let content: Vec<u8> = (0..length).map(|at| (at * 7 + at / 256) as u8).collect();
        let file = content[..usize::try_from(part.have).unwrap().min(length)].to_vec();
        let now = Duration::from_secs(100);
        let fetch = Fetch::new(wanted, rules, part, 1, now);
        Self { fetch, content, file, now, asked: Vec::new(), due: VecDeque::new(), sent: 0, hung: 0 }
    }

    /// Does what it is told to.
    fn act(&mut self) {
        while let Some(action) = self.fetch.poll_action() {
            match action {
                Action::Empty => self.file.clear(),
                Action::Hang => self.hung += 1,
                Action::Note(part) => assert_eq!(part.have, self.file.len() as u64),
                Action::Get(get) => self.due.push_back(get),
            }
        }
    }

    /// The next request, when it is time for one; None when there will be none.
    fn next(&mut self) -> Option<Get> {
        loop {
            self.act();
            if let Some(get) = self.due.pop_front() {
                self.asked.push(get.clone());
                return Some(get);
            }
            self.now = self.now.max(self.fetch.poll_timeout()?);
            self.fetch.handle_timeout(self.now);
        }
    }

    fn answer(&mut self, answer: &Answer) -> bool {
        let reads = self.fetch.answered(answer, self.now);
        self.act();
        reads
    }

    /// Sends of the file what comes next, in this time.
    fn send(&mut self, count: usize, within: Duration) {
        self.now += within;
        let from = self.file.len();
        let bytes = &self.content[from..(from + count).min(self.content.len())];
        self.file.extend(bytes);
        self.sent += bytes.len() as u64;
        self.fetch.received(bytes.len() as u64, self.now);
    }

    fn cut(&mut self) {
        self.fetch.broke("connection reset", self.now);
    }

    /// A server without fault, for what is asked.
    fn serve(&mut self, get: &Get) {
        let answer = get.from.map_or_else(|| ok(self.content.len()), |from| part(from, self.content.len()));
        assert!(self.answer(&answer), "{:?}", self.fetch);
    }

    fn complete(&mut self) {
        assert_eq!(self.next(), None);
        assert_eq!(self.fetch.ended(), Some(Ok(())));
        assert!(self.file == self.content, "the right bytes");
    }

    fn failed(&mut self) -> String {
        assert_eq!(self.next(), None);
        self.fetch.ended().expect("an end").expect_err("a failure").to_string()
    }
}

#[test]
fn a_file_is_asked_for_once_and_is_complete_with_its_last_byte() {
    let mut world = World::new(100_000);
    let get = world.next().unwrap();
    assert_eq!((get.url.as_str(), get.from, &get.if_range), (URL, None, &None));
    world.serve(&get);
    world.send(100_000, Duration::from_secs(1));
    world.fetch.body_ended(world.now);
    world.complete();
}

#[test]
fn f_2_f_45_a_connection_that_is_cut_each_64_kib_costs_nothing_twice() {
    let mut world = World::new(3_000_000);
    while let Some(get) = world.next() {
        world.serve(&get);
        world.send(65_536, Duration::from_millis(10));
        if world.file.len() == world.content.len() {
            world.fetch.body_ended(world.now);
        } else {
            world.cut();
        }
    }
    world.complete();
    assert_eq!((world.asked.len(), world.sent), (46, 3_000_000));
    assert_eq!((world.asked[1].from, world.asked[1].if_range.as_deref()), (Some(65_536), Some(TAG)));
}

#[test]
fn f_2_another_life_goes_on_from_the_part_that_is_there() {
    let there = Part { have: 40_000, etag: Some(TAG.into()), total: Some(50_000) };
    let mut world = World::from(50_000, wanted(Some(50_000)), Rules::default(), there.clone());
    let get = world.next().unwrap();
    assert_eq!(get.from, Some(40_000));
    world.serve(&get);
    world.send(10_000, Duration::from_secs(1));
    world.fetch.body_ended(world.now);
    world.complete();
    // All of it is there already, or it cannot be known to be of the same.
    let mut whole = World::from(40_000, wanted(Some(40_000)), Rules::default(), there.clone());
    whole.complete();
    let untagged = Part { etag: None, ..there };
    let mut anew = World::from(50_000, wanted(Some(50_000)), Rules::default(), untagged);
    assert_eq!((anew.next().unwrap().from, anew.file.len()), (None, 0));
}

#[test]
fn f_43_f_44_what_is_not_the_rest_of_the_same_starts_over() {
    let changed = Answer { etag: Some("\"two\"".into()), ..part(20_000, 50_000) };
    for (odd, reads) in [
        (ok(50_000), true),
        (part(19_999, 50_000), false),
        (part(20_000, 60_000), false),
        (changed, false),
        (Answer { content_range: None, ..part(20_000, 50_000) }, false),
        (Answer { content_range: Some("bytes */90".into()), ..status(416) }, false),
    ] {
        let mut world = World::new(50_000);
        let get = world.next().unwrap();
        world.serve(&get);
        world.send(20_000, Duration::from_secs(1));
        world.cut();
        assert_eq!(world.next().unwrap().from, Some(20_000));
        assert_eq!(world.answer(&odd), reads, "{odd:?}");
        if !reads {
            assert_eq!(world.next().unwrap().from, None, "{odd:?}");
            assert!(world.answer(&ok(50_000)));
        }
        assert_eq!((world.file.len(), world.fetch.progress().0), (0, 0), "{odd:?}");
        world.send(50_000, Duration::from_secs(1));
        world.fetch.body_ended(world.now);
        world.complete();
    }
    let mut world = World::new(50_000);
    let get = world.next().unwrap();
    world.serve(&get);
    world.send(50_000, Duration::ZERO);
    world.cut();
    world.complete();
}

#[test]
fn f_46_a_drip_is_cut_and_not_waited_for_for_ever() {
    let mut world = World::new(50_000_000);
    let mut drips = 0;
    while let Some(get) = world.next() {
        world.serve(&get);
        let hung = world.hung;
        while world.hung == hung && world.fetch.ended().is_none() {
            world.send(100, Duration::from_secs(1));
            world.fetch.handle_timeout(world.now);
            world.act();
        }
        drips += 1;
    }
    assert_eq!(drips, 10);
    assert!(world.failed().contains("after 10 tries; the last: less than 1 KiB/s"), "{}", world.failed());
    // Silence is noticed sooner.
    let mut world = World::new(50_000);
    let get = world.next().unwrap();
    world.serve(&get);
    let before = world.now;
    world.next().unwrap();
    assert!(world.now - before >= SILENCE && world.now - before < SILENCE + Duration::from_secs(2));
}

#[test]
fn f_47_a_server_that_asks_for_time_gets_it_within_bounds() {
    for (hint, least, most) in [(5, 5, 6), (999_999_999, 3600, 4320), (0, 1, 2)] {
        let mut world = World::new(10);
        world.next().unwrap();
        let busy = Answer { retry_after: Some(Duration::from_secs(hint)), ..status(503) };
        let before = world.now;
        assert!(!world.answer(&busy));
        world.next().unwrap();
        let waited = (world.now - before).as_secs_f64();
        assert!((f64::from(least)..=f64::from(most)).contains(&waited), "{hint}: {waited}");
    }
    let mut world = World::new(10);
    while world.next().is_some() {
        world.answer(&status(500));
    }
    assert!(world.failed().contains("after 10 tries; the last: the server answered 500"));
    for fatal in [400, 401, 403, 404, 410] {
        let mut world = World::new(10);
        world.next().unwrap();
        world.answer(&status(fatal));
        assert!(world.failed().ends_with(&format!("answered {fatal}")));
    }
}

#[test]
fn f_48_redirects_end_and_do_not_lead_down() {
    let mut round = World::new(10);
    while round.next().is_some() {
        round.answer(&to("/again"));
    }
    assert!(round.failed().starts_with("redirected more than 5 times"), "{}", round.failed());
    assert_eq!(round.asked.len(), 6);
    for (location, told) in [
        ("http://packages.example.com/x", "must not lead from https"),
        ("file:///etc/passwd", "must not lead from https"),
        ("https://169.254.169.254/latest/meta-data", "where clouds keep their metadata"),
        ("https://[::1]/x", "which is this host"),
        ("", "redirected more than 5 times"),
        ("https://", "no address to be redirected to"),
    ] {
        let mut world = World::new(10);
        while world.next().is_some() {
            world.answer(&to(location));
        }
        assert!(world.failed().contains(told), "{location}: {}", world.failed());
    }
    let mut plain = World::from(
        10,
        Wanted { url: "http://a.example/x".parse().unwrap(), ..wanted(None) },
        Rules::default(),
        Part::default(),
    );
    assert!(plain.failed().contains("over https only"));
    let rules = Rules { plain_http: true, ..Rules::default() };
    let allowed = Wanted { url: "http://a.example/x".parse().unwrap(), ..wanted(None) };
    assert!(World::from(10, allowed, rules, Part::default()).next().is_some());
    let dialled = World::new(10).fetch.connects_to("192.168.0.7".parse().unwrap());
    assert!(dialled.unwrap_err().to_string().contains("packages.example.com is at 192.168.0.7"));
}

#[test]
fn f_49_headers_stay_with_the_origin_that_they_are_for() {
    let mut world = World::new(10);
    assert_eq!(world.next().unwrap().headers.len(), 1);
    world.answer(&to("/mirror"));
    assert_eq!(world.next().unwrap().headers.len(), 1);
    world.answer(&to("https://packages.example.com:8443/"));
    assert_eq!(world.next().unwrap().headers, []);
    world.answer(&to("https://elsewhere.example.com/"));
    assert_eq!(world.next().unwrap().headers, []);
    world.cut();
    assert_eq!(world.next().unwrap().url.as_str(), URL, "another try begins where the offer said");
}

#[test]
fn f_50_a_length_that_lies_is_noticed() {
    let mut other = World::new(10);
    other.next().unwrap();
    assert!(!other.answer(&ok(11)));
    assert_eq!(other.failed(), "the server has 11 bytes, signed are 10");

    let mut short = World::new(10);
    let get = short.next().unwrap();
    short.serve(&get);
    short.send(4, Duration::ZERO);
    short.fetch.body_ended(short.now);
    assert_eq!(short.next().unwrap().from, Some(4), "what is missing is asked for");

    let mut unsized_one =
        World::from(100, Wanted { cap: 50, ..wanted(None) }, Rules::default(), Part::default());
    unsized_one.next().unwrap();
    assert!(unsized_one.answer(&Answer { content_length: None, ..ok(0) }));
    unsized_one.send(51, Duration::ZERO);
    assert_eq!(unsized_one.failed(), "more than 50 bytes");
    let mut big = World::from(100, Wanted { cap: 50, ..wanted(None) }, Rules::default(), Part::default());
    big.next().unwrap();
    big.answer(&ok(100));
    assert_eq!(big.failed(), "more than 50 bytes");
}

/// A server that breaks at random, again and again: what is complete is right, and there is always an end.
#[test]
fn every_schedule_ends_and_what_is_complete_is_right() {
    for seed in 0..500_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let length = 1 + usize::try_from(random(200_000)).unwrap();
        let size = (random(2) == 0).then_some(length as u64);
        let mut world = World::from(length, wanted(size), Rules::default(), Part::default());
        let mut turns = 0;
        while let Some(get) = world.next() {
            turns += 1;
            assert!(turns < 10_000, "seed {seed} does not end");
            let reads = match random(10) {
                0 => world.answer(&status(503)),
                1 => world.answer(&ok(length)),
                2 => world.answer(&part(random(length as u64), length)),
                3 => world.answer(&to("https://mirror.example.com/x")),
                4 => {
                    world.cut();
                    false
                }
                _ => {
                    world.serve(&get);
                    true
                }
            };
            if reads {
                let count = usize::try_from(random(100_000)).unwrap();
                world.send(count, Duration::from_millis(random(2000)));
                if random(3) > 0 && world.file.len() < length {
                    world.cut();
                } else if world.fetch.ended().is_none() {
                    world.fetch.body_ended(world.now);
                }
            }
        }
        match world.fetch.ended().expect("an end") {
            Ok(()) => assert!(world.file == world.content, "seed {seed}"),
            Err(why) => assert!(why.may_pass(), "seed {seed}: {why}"),
        }
    }
}
