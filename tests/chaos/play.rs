//! Plays a row: every combination, and what each client saw.

use std::time::Duration;

use serde_json::Value;
use tests::client::{Answer, Client, DIALECTS, Dialect};
use tests::mock::Mock;
use tests::mock::vendor::{Vendor, text, tokens};
use tests::said::{Said, events};

use crate::row::{Expected, Half, Row, Trouble};
use crate::world::{Scope, VENDORS, World, home, model_of, other};

/// Longer than any answer takes on any machine: beyond this a client hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// How many clients make a crowd.
pub(crate) const CROWD: usize = 64;

/// One cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) scope: Scope,
    pub(crate) stream: bool,
    pub(crate) dialect: Dialect,
    pub(crate) crowd: bool,
}

/// What one client saw, and what it asked.
#[derive(Debug)]
pub(crate) struct Play {
    /// The first candidate's format.
    pub(crate) begins: Vendor,
    /// It was planned with these candidates, so it is in the books.
    pub(crate) tried: bool,
    /// Why it is not what was expected.
    pub(crate) seen: Result<Expected, String>,
}

impl Cell {
    /// In the order of the columns.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for scope in [Scope::First, Scope::All] {
            for stream in [true, false] {
                let both = DIALECTS.into_iter().flat_map(|dialect| [(dialect, false), (dialect, true)]);
                all.extend(both.map(|(dialect, crowd)| Self { scope, stream, dialect, crowd }));
            }
        }
        all
    }

    /// Who asks in it.
    pub(crate) fn key(self) -> &'static str {
        if self.crowd { "crowd" } else { "alone" }
    }

    pub(crate) fn expected(self, half: &Half, begins: Vendor) -> Expected {
        let pair = if self.scope == Scope::First { half.first } else { half.all };
        pair[usize::from(begins != home(self.dialect))]
    }
}

/// All cells of a row, in the order of the columns; `None` where it has nothing to play.
pub(crate) async fn row(world: &World, mock: &Mock, row: &Row) -> Vec<Option<Vec<Play>>> {
    let mut played: Vec<(Cell, Vec<Play>)> = Vec::new();
    for stream in [true, false] {
        let Some(half) = row.half(stream) else { continue };
        begin(mock, row, half);
        let cells = Cell::all().into_iter().filter(|cell| cell.stream == stream);
        let (crowds, alone): (Vec<_>, Vec<_>) = cells.partition(|cell| cell.crowd);
        let play = |cell| async move { (cell, play(world, row, half, cell).await) };
        match (alone[..].as_array(), crowds[..].as_array()) {
            // Most of it is waiting, so some wait together.
            (Some(&[a, b, c, d]), Some(&[e, f, g, h])) if row.timed => {
                played.extend(<[_; 4]>::from(tokio::join!(play(a), play(b), play(c), play(d))));
                played.extend(<[_; 2]>::from(tokio::join!(play(e), play(g))));
                played.extend(<[_; 2]>::from(tokio::join!(play(f), play(h))));
            }
            _ => {
                for cell in alone.into_iter().chain(crowds) {
                    played.push(play(cell).await);
                }
            }
        }
        end(mock, row, half);
    }
    let mut take = |cell| Some(played.swap_remove(played.iter().position(|(have, _)| *have == cell)?).1);
    Cell::all().into_iter().map(&mut take).collect()
}

fn begin(mock: &Mock, row: &Row, half: &Half) {
    for lane in VENDORS.map(|vendor| row.faulty(vendor)) {
        match half.trouble {
            Trouble::Fault(fault) => mock.host(&lane.host).fault(fault(lane.vendor).always()),
            Trouble::Refused => mock.host(&lane.host).refuse(),
            Trouble::NoRoute => {}
        }
    }
}

fn end(mock: &Mock, row: &Row, half: &Half) {
    for lane in VENDORS.map(|vendor| row.faulty(vendor)) {
        match half.trouble {
            Trouble::Fault(_) => mock.host(&lane.host).clear(),
            Trouble::Refused => mock.host(&lane.host).accept().unwrap(),
            Trouble::NoRoute => {}
        }
    }
}

/// Both orders of formats: alone one after the other, in a crowd every second client.
async fn play(world: &World, row: &Row, half: &Half, cell: Cell) -> Vec<Play> {
    let order = |i: usize| if i.is_multiple_of(2) { home(cell.dialect) } else { other(home(cell.dialect)) };
    let mut plays = Vec::new();
    if cell.crowd {
        let clients = (0..CROWD).map(|i| ask(world.crowd.clone(), row, cell, order(i), i));
        let tasks: Vec<_> = clients.map(|(mark, asking)| (mark, tokio::spawn(asking))).collect();
        for (i, (mark, task)) in tasks.into_iter().enumerate() {
            plays.push(see(row, half, cell, order(i), &mark, task.await.unwrap()));
        }
        rest(row).await;
    } else {
        for i in 0..2 {
            let (mark, asking) = ask(world.alone.clone(), row, cell, order(i), i);
            plays.push(see(row, half, cell, order(i), &mark, asking.await));
            rest(row).await;
        }
    }
    plays
}

/// Until no key rests any more.
async fn rest(row: &Row) {
    if let Some(time) = row.rests {
        tokio::time::sleep(time + Duration::from_millis(100)).await;
    }
}

type Asked = Result<Answer, String>;

/// A request that can be told from all others, and its answer.
fn ask(
    client: Client,
    row: &Row,
    cell: Cell,
    begins: Vendor,
    number: usize,
) -> (String, impl Future<Output = Asked> + use<>) {
    let mark = format!("{} {number:03}", row.id);
    let call = cell.dialect.chat(&row.model(cell.scope, begins), &mark, cell.stream);
    let call = call.key(&format!("vk-{}", cell.key()));
    let asking = async move {
        match tokio::time::timeout(DEADLINE, client.send(&call)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("no answer at all: {error:#}")),
            Err(_) => Err("hangs".to_owned()),
        }
    };
    (mark, asking)
}

fn see(row: &Row, half: &Half, cell: Cell, begins: Vendor, mark: &str, asked: Asked) -> Play {
    let expected = cell.expected(half, begins);
    let tried = asked.as_ref().is_ok_and(|answer| row.rests.is_none() || tries(answer).is_some());
    let seen = asked.and_then(|answer| {
        let problem = check(row, half, cell, begins, expected, mark, &answer);
        let about = || format!("{} {} {}", answer.status, trail(&answer), brief(&answer));
        problem.map_err(|problem| format!("{expected:?} was expected, but {problem}: {}", about()))
    });
    Play { begins, tried, seen: seen.map(|()| expected) }
}

/// Whether this is what was expected; else what it lacks.
fn check(
    row: &Row,
    half: &Half,
    cell: Cell,
    begins: Vendor,
    expected: Expected,
    mark: &str,
    answer: &Answer,
) -> Result<(), String> {
    let lanes = row.candidates(cell.scope, begins);
    let status = expected.status(cell.dialect, lanes[1].vendor);
    ensure(answer.status == status, || format!("the status is not {status}"))?;
    let stray = answer.headers.keys().find(|name| name.as_str().starts_with("x-envoy"));
    ensure(stray.is_none(), || format!("{stray:?} is nobody's business"))?;
    // Where keys rest, some are planned around.
    let loose = row.rests.is_some() && cell.crowd;
    let tries = tries(answer);
    ensure(loose || tries == Some(expected.tries()), || format!("it tells of {tries:?} tries"))?;
    let named = trail(answer);
    let steps: Vec<&str> = named.split(" -> ").filter(|step| !step.is_empty()).collect();
    let told = lanes.iter().zip(&steps).all(|(lane, step)| step.starts_with(&format!("{}/k1 ", lane.provider)));
    let listed = tries.filter(|tries| *tries > 1).unwrap_or(0);
    ensure(told && steps.len() == listed, || "the trail is another".to_owned())?;
    let aborted = expected == Expected::Aborted;
    ensure(answer.broken.is_some() == aborted, || format!("broken off: {:?}", answer.broken))?;
    match expected {
        Expected::Next | Expected::Answer => {
            let lane = &lanes[usize::from(expected == Expected::Next)];
            let own = text(&lane.host, model_of(lane.vendor), mark);
            let usage = tokens(mark, &own);
            let faulty = expected == Expected::Answer || cell.scope == Scope::All;
            let fixed = half.says.as_ref().filter(|_| faulty);
            let (own, usage) = fixed.map_or((own.as_str(), usage), |(text, usage)| (text.as_str(), *usage));
            let said = Said::read(cell.dialect, cell.stream, answer).map_err(|error| short(&format!("{error:#}")))?;
            ensure(said.text == own, || "the text is another".to_owned())?;
            // OpenAI streams usage to those who ask for it only.
            let shown = (cell.dialect == Dialect::Anthropic || !cell.stream).then_some(usage);
            ensure(said.usage == shown, || format!("the usage is {:?}", said.usage))?;
            ensure(answer.header("x-attache-provider") == lane.provider, || "another provider is named".to_owned())
        }
        Expected::Said(_) | Expected::Ours(_) => {
            let (_, message) = Said::error(cell.dialect, answer).map_err(|error| short(&format!("{error:#}")))?;
            ensure(!message.is_empty(), || "the error has no words".to_owned())?;
            let after = answer.header("retry-after").parse().is_ok_and(|seconds: u64| seconds <= 1);
            ensure(after || row.rests.is_none(), || "it does not say when to try again".to_owned())
        }
        Expected::ErrorEvent => {
            let events = events(&answer.body()).map_err(|error| short(&format!("{error:#}")))?;
            let last = events.last().and_then(|(_, data)| serde_json::from_str::<Value>(data).ok()).unwrap_or_default();
            let own = (last["type"] == "error") == (cell.dialect == Dialect::Anthropic);
            ensure(last["error"]["message"].is_string() && own, || "the last event is no error".to_owned())
        }
        Expected::Aborted => Ok(()),
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// How many candidates were asked, as far as the answer says: in what Envoy makes up by the trail alone.
fn tries(answer: &Answer) -> Option<usize> {
    let trail = trail(answer);
    let listed = (!trail.is_empty()).then(|| trail.split(" -> ").count());
    answer.header("x-attache-attempts").parse().ok().or(listed)
}

fn trail(answer: &Answer) -> String {
    answer
        .headers
        .get("x-attache-trail")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

fn brief(answer: &Answer) -> String {
    short(&answer.text())
}

/// The beginning and the end.
fn short(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= 600 {
        return text.to_owned();
    }
    let (head, tail) = (&characters[..300], &characters[characters.len() - 300..]);
    head.iter().chain(&[' ', '…', ' ']).chain(tail).collect()
}
