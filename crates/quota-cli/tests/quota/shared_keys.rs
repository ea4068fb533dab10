//! Documents that share their key, as those of a view may.

use mongodb::bson::{Document, doc};
use quota_servers::Server;
use serde_json::json;

use crate::support::{Folder, json, name, runtime};

/// So many documents with a key of their own come first that those that share the next are cut apart by a page of 5,000.
const BEFORE: i32 = 4_995;

/// How many share it.
const ALIKE: i32 = 10;

#[test]
fn documents_that_share_their_key_are_listed_and_none_is_lost() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let (folder, [collection, view]) = (Folder::new(), [(); 2].map(|()| name()));
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        let database = client.database("quota");
        let one = |id: i32, uses: i32| {
            let uses: Vec<Document> = (0..uses).map(|_| doc! { "timestamp": 1_709_251_200, "credits": 1 }).collect();
            doc! { "_id": id, "clientId": "c", "uses": uses }
        };
        let rest = [one(BEFORE, ALIKE), one(BEFORE + 1, 1), one(BEFORE + 2, 2)];
        let all: Vec<_> = (0..BEFORE).map(|id| one(id, 1)).chain(rest).collect();
        for some in all.chunks(1_000) {
            database.collection::<Document>(&collection).insert_many(some).await.unwrap();
        }
        let fields = doc! { "clientId": 1, "timestamp": "$uses.timestamp", "credits": "$uses.credits" };
        let pipeline = [doc! { "$unwind": "$uses" }, doc! { "$project": fields }];
        let made = doc! { "create": &view, "viewOn": &collection, "pipeline": pipeline.to_vec() };
        database.run_command(made).await.unwrap();
    });
    let to = folder.url("quota.db");
    let import = ["import-frappy", "--from", &url, "--database", "quota", "--collection", &view, "--to", &to];
    let (own, shared) = (BEFORE + 1, ALIKE + 2);
    for counts in [(own, 0), (0, own)] {
        let done = json(&import);
        assert_eq!((&done["added"], &done["already_there"]), (&json!(counts.0), &json!(counts.1)));
        assert_eq!((&done["read"], &done["skipped"]["count"]), (&json!(own + shared), &json!(shared)));
        let reasons = done["skipped"]["reasons"].as_array().unwrap();
        assert!(reasons.len() == 1 && reasons[0]["reason"] == "its id is another row's as well");
    }
}
