//! The list of clients, which is put in order when it is first asked for.

use quota_service::{ClientId, ClientsQuery, Plan, QuotaService};
use quota_store_memory::MemoryStore;

fn client(number: usize) -> ClientId {
    ClientId::new(format!("client-{number:04}")).unwrap()
}

async fn come(service: &QuotaService<MemoryStore>, number: usize) {
    service.set_plan(&client(number), Plan::new([]).unwrap()).await.unwrap();
}

/// All pages of so many clients, one after the other.
async fn listed(service: &QuotaService<MemoryStore>, limit: usize) -> Vec<ClientId> {
    let mut all = Vec::new();
    loop {
        let query = ClientsQuery { prefix: String::new(), after: all.last().cloned(), limit };
        match service.clients(query).await.unwrap() {
            page if page.is_empty() => return all,
            page => all.extend(page),
        }
    }
}

#[tokio::test]
async fn pages_of_any_length_show_every_client_once() {
    for shards in [1, 16, 1_024] {
        let service = QuotaService::new(MemoryStore::builder().with_shards(shards).build());
        for number in (0..500).rev() {
            come(&service, number).await;
        }
        let expected: Vec<ClientId> = (0..500).map(client).collect();
        for limit in [1, 7, 200, 1_000] {
            assert_eq!(listed(&service, limit).await, expected, "{shards} shards, {limit} a page");
        }
    }
}

#[tokio::test]
async fn clients_that_come_and_go_after_the_first_list_come_and_go_in_the_next() {
    let service = QuotaService::new(MemoryStore::new());
    come(&service, 1).await;
    assert_eq!(listed(&service, 10).await, [client(1)]);
    come(&service, 2).await;
    come(&service, 0).await;
    assert_eq!(listed(&service, 10).await, [client(0), client(1), client(2)]);
    service.remove_plan(&client(1)).await.unwrap();
    assert_eq!(listed(&service, 10).await, [client(0), client(2)]);
}
