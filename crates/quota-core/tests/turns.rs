//! Operations that share a turn.

use quota_core::{
    Account, Answer, Asked, Credits, Decision, EntryId, Fact, Instant, Operation, OperationId, Plan, PlanCheck, Terms,
    Turn,
};

/// A store looks up what an operation foresees before it runs it, in a ledger that has nothing of the turn yet.
#[test]
fn what_a_turn_has_written_under_an_id_is_not_forgotten_for_what_the_ledger_says() {
    let (plan, mut account) = (Plan::default(), Account::new());
    let mut turn = Turn::new(&mut account, Terms::ENTRIES);
    let id = OperationId::new("a").unwrap();
    let charge = Operation::Charge { credits: Credits::ONE, id: EntryId::Given(id), label: None };
    let asked = Asked { plan: Some(&plan), check: PlanCheck::Any, at: Instant::MIN };
    let mut run = || {
        for need in Turn::foresee(&charge) {
            turn.learn(need, Fact::Entry(None));
        }
        match turn.run(&charge, asked) {
            Ok(Answer::Decision(Decision::Allowed(allowed))) => allowed.replayed(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([run(), run()], [false, true]);
    assert_eq!(turn.take_writes().entries.len(), 1);
}
