//! The chaos table: every fault a provider can have, at the first candidate or at all of them, streamed and not, for clients
//! of both dialects, alone and many at once, through the real Envoy. `RESULTS.md` is what comes of it.
//!
//! Does not: look inside, or measure. A cell is what the client saw, what the trail told and what the sidecar settled.
//!
//! Decision: what is right stands in `table`, by fault, and is derived for each cell. Rejected: writing down what was seen,
//! which would make every fault of the product a line of a document.

mod books;
mod play;
mod results;
mod row;
mod table;
mod world;

use std::sync::Arc;

use tests::mock::Mock;

use books::Books;
use play::{Cell, Play};
use results::Results;
use row::Row;
use world::{Lane, VENDORS, World, good};

type Played = Vec<Option<Vec<Play>>>;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_in_one_right_answer_or_one_clean_error() {
    let chosen = std::env::var("CHAOS").ok();
    let rows = || {
        let mine = |row: &Row| chosen.as_ref().is_none_or(|ids| ids.split(',').any(|id| id == row.id));
        table::rows().into_iter().filter(mine).collect::<Vec<_>>()
    };
    let mock = Arc::new(world::mock(&rows()));
    let (timed, quick): (Vec<_>, Vec<_>) = rows().into_iter().partition(|row| row.timed);
    let (timed, quick) = tokio::join!(World::start(&mock, timed), World::start(&mock, quick));
    let (timed, quick) = (Arc::new(timed), Arc::new(quick));
    // Rows that mostly wait go along with those that do not.
    let at_once: Vec<_> = [&timed, &quick]
        .into_iter()
        .flat_map(|world| (0..world.rows.len()).map(move |i| (Arc::clone(world), i)))
        .filter(|(world, i)| waits(&world.rows[*i]))
        .map(|(world, i)| (world.rows[i].id, tokio::spawn(play_row(Arc::clone(&world), Arc::clone(&mock), i))))
        .collect();
    let mut played: Vec<(&str, Played)> = Vec::new();
    for (i, row) in quick.rows.iter().enumerate().filter(|(_, row)| !waits(row)) {
        played.push((row.id, play_row(Arc::clone(&quick), Arc::clone(&mock), i).await));
    }
    for (id, task) in at_once {
        played.push((id, task.await.unwrap()));
    }
    let books = [books(&timed, &played).await, books(&quick, &played).await];
    let mut results = Results::new();
    let mut problems = Vec::new();
    for row in rows() {
        let plays = &played.iter().find(|(id, _)| *id == row.id).unwrap().1;
        let books = &books[usize::from(!row.timed)];
        let cells = Cell::all().into_iter().zip(plays).map(|(cell, plays)| {
            let (Some(half), Some(plays)) = (row.half(cell.stream), plays) else { return "–".to_owned() };
            let wrong = plays.iter().filter_map(|play| play.seen.as_ref().err().cloned());
            let wrong: Vec<_> = wrong.chain(books.check(&row, half, cell, plays)).collect();
            if let Some(one) = wrong.first() {
                problems.push(format!("{} {cell:?}: {} problems, the first: {one}", row.name, wrong.len()));
            }
            results.cell(&row, half, cell, plays)
        });
        let cells: Vec<String> = cells.collect();
        results.row(&row, &cells);
    }
    assert!(problems.is_empty(), "{} cells are not as expected:\n{}", problems.len(), problems.join("\n"));
    none_twice(&mock, &rows(), &books);
    for world in [&timed, &quick] {
        assert_eq!(world.stack.stat(".vm_reload").await.unwrap(), 0, "the module was loaded anew");
    }
    if chosen.is_none() {
        results.check(rows().len());
    }
}

/// Providers count for themselves: nothing was asked, and nothing bought, that is not in the books.
fn none_twice(mock: &Mock, rows: &[Row], books: &[Books]) {
    let settled =
        |lane: &Lane| books.iter().filter_map(|books| books.tries().get(lane.provider.as_str()).copied()).sum();
    let faulty = rows.iter().flat_map(|row| VENDORS.map(|vendor| (row.faulty(vendor), row.answers())));
    for (lane, all) in faulty.chain(VENDORS.map(|vendor| (good(vendor), true))) {
        let (came, settled): (u64, u64) = (mock.journal().count(&lane.host, ""), settled(&lane));
        assert!(came == settled || !all && came < settled, "{}: {came} came, {settled} are settled", lane.host);
    }
}

fn waits(row: &Row) -> bool {
    row.timed || row.rests.is_some()
}

async fn play_row(world: Arc<World>, mock: Arc<Mock>, row: usize) -> Played {
    play::row(&world, &mock, &world.rows[row]).await
}

/// All that was settled of these rows, once it is there.
async fn books(world: &World, played: &[(&str, Played)]) -> Books {
    let mine = played.iter().filter(|(id, _)| world.rows.iter().any(|row| row.id == *id));
    let plays = mine.flat_map(|(_, cells)| cells.iter().flatten().flatten());
    let expected = plays.filter(|play| play.tried).count() as u64;
    let ledger = world.ledger();
    ledger.wait_for(expected).await.unwrap();
    Books::new(ledger.all().unwrap())
}
