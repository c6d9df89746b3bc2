use std::{cell::RefCell, collections::VecDeque};

use actix::{Addr, Supervisor};
use futures_util::poll;
use tokio::time::sleep;

use super::{line::dead_line, *};
use crate::event_id::{Epoch, EventId};

/// Stands for SseBroker.
struct Broker;
impl Actor for Broker {
    type Context = Context<Self>;
}
impl Handler<Deliver> for Broker {
    type Result = ();
    fn handle(&mut self, _: Deliver, _: &mut Self::Context) {}
}
impl Handler<LinkStateChanged> for Broker {
    type Result = ();
    fn handle(&mut self, _: LinkStateChanged, _: &mut Self::Context) {}
}

/// A client whose dials give these connections, and the positions it dialled with.
fn client(connections: Vec<(Writer, Incoming)>) -> (Addr<LinkClient>, Rc<RefCell<Vec<String>>>) {
    let settings = LinkClientSettings {
        url: "ws://gateway".to_owned(),
        token: "token".into(),
        max_attempts: 0,
        command_queue: 10,
        command_timeout: Duration::from_secs(10),
        legacy_members: false,
    };
    let broker = Broker.start();
    let connections = RefCell::new(VecDeque::from(connections));
    let dialled = Rc::new(RefCell::new(Vec::new()));
    let dials = Rc::clone(&dialled);
    let dial: Dial = Rc::new(move |_, after| {
        dials.borrow_mut().push(after);
        let connection = connections.borrow_mut().pop_front().ok_or("connection refused".to_owned());
        Box::pin(async { connection })
    });
    let (events, states) = (broker.clone().recipient(), broker.recipient());
    let addr = Supervisor::start(move |_| LinkClient::new(settings, events, states).with_dial(dial));
    (addr, dialled)
}

fn hello(latest: EventId) -> Bytes {
    let hello = Hello {
        message: String::new(),
        protocol: Some(1),
        oldest_id: Some(latest),
        latest_id: Some(latest),
        complete: true,
        guilds: Vec::new(),
    };
    link_frame::encode_ack(latest, None, &hello, 1).into()
}

async fn state(client: &Addr<LinkClient>) -> &'static str {
    client.send(Snapshot).await.unwrap().state
}

/// The paused clock moves on when nobody has anything to do.
async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

#[actix::test]
async fn a_gateway_that_falls_silent_is_left_and_dialled_again_from_where_it_was() {
    tokio::time::pause();
    let (first, second) = (line(), line());
    let (client, dialled) = client(vec![(first.0, first.1), (second.0, second.1)]);
    let position = EventId { epoch: Epoch(7), seq: 5 };
    first.2.say.send(Ok(Frame::Text(hello(position)))).unwrap();
    rest().await;
    assert_eq!(state(&client).await, "live");
    // Any frame is a sign of life, and pings are asked for one.
    let mut far = first.2;
    for _ in 0..4 {
        sleep(PING_EVERY).await;
        assert!(matches!(far.written.recv().await, Some(WsMessage::Ping(_))));
        far.say.send(Ok(Frame::Pong(Bytes::new()))).unwrap();
    }
    rest().await;
    sleep(SILENCE_LIMIT).await;
    assert_eq!((state(&client).await, dialled.borrow().len()), ("live", 1), "not before the limit");
    // The next beat after the limit, and the first wait of the restart policy.
    sleep(PING_EVERY + Duration::from_secs(1)).await;
    assert_eq!(*dialled.borrow(), ["0".to_owned(), position.to_string()]);
    second.2.say.send(Ok(Frame::Text(hello(position)))).unwrap();
    rest().await;
    assert_eq!(state(&client).await, "live");
    client.send(Shutdown).await.unwrap();
}

#[actix::test]
async fn a_stop_is_over_when_the_gateway_has_answered_the_goodbye() {
    tokio::time::pause();
    let (writer, incoming, mut far) = line();
    let (client, _) = client(vec![(writer, incoming)]);
    far.say.send(Ok(Frame::Text(hello(EventId { epoch: Epoch(7), seq: 0 })))).unwrap();
    rest().await;
    let mut stop = Box::pin(client.send(Shutdown));
    assert!(poll!(&mut stop).is_pending());
    rest().await;
    assert!(matches!(far.written.try_recv(), Ok(WsMessage::Close(_))));
    assert!(
        poll!(&mut stop).is_pending() && !far.written.is_closed(),
        "the socket stays open for the answer"
    );
    far.say.send(Ok(Frame::Close(None))).unwrap();
    stop.await.unwrap();
    assert!(far.written.recv().await.is_none());
    assert_eq!(state(&client).await, "stopped");
}

#[actix::test]
async fn a_goodbye_of_the_gateway_is_answered_and_the_socket_closed_at_once() {
    tokio::time::pause();
    let (writer, incoming, mut far) = line();
    let (_client, _) = client(vec![(writer, incoming)]);
    let begun = Instant::now();
    far.say.send(Ok(Frame::Close(None))).unwrap();
    assert!(matches!(far.written.recv().await, Some(WsMessage::Close(_))));
    assert!(far.written.recv().await.is_none());
    assert!(begun.elapsed() < socket::GOODBYE, "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_stop_does_not_wait_for_a_gateway_that_takes_nothing() {
    tokio::time::pause();
    let (client, _) = client(vec![dead_line()]);
    rest().await;
    let begun = Instant::now();
    client.send(Shutdown).await.unwrap();
    assert!(begun.elapsed() <= socket::GOODBYE + Duration::from_millis(10), "{:?}", begun.elapsed());
}
