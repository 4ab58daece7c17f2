use std::net::{SocketAddr, TcpListener, UdpSocket as StdUdp};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::message::{Answer, Kind, answer, question};
use super::*;

fn local(future: impl Future<Output = Result<Vec<IpAddr>, Failure>>) -> Result<Vec<IpAddr>, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// With so much time that a loaded machine's server answers within it.
fn config(server: SocketAddr) -> Config {
    Config { servers: vec![server], search: vec![], ndots: 1, timeout: Duration::from_secs(30), attempts: 2 }
}

/// An answer to a question: its bytes with our flags and records behind.
fn reply(question: &[u8], flags: u16, records: &[(&[u8], u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = question.to_vec();
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    for (owner, kind, data) in records {
        out.extend(*owner);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    out
}

#[test]
fn files_are_read_as_their_pages_say() {
    let text = "# c\n10.0.0.7 otel-collector otel # other\nfe80::1 Otel.\nbad otel\n";
    assert_eq!(hosts::addresses(text, "OTEL"), ["10.0.0.7".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
    let text = "nameserver 10.96.0.10\nnameserver fe80::1%eth0\nsearch argo.svc.cluster.local svc.cluster.local cluster.local.\n\
                options ndots:5 timeout:99 attempts:x edns0\n; c\n";
    let config = Config::parse(text);
    assert_eq!(config.servers, ["10.96.0.10:53".parse().unwrap()]);
    assert_eq!((config.ndots, config.timeout.as_secs(), config.attempts), (5, 30, 2));
    let full = ["otel.argo.svc.cluster.local", "otel.svc.cluster.local", "otel.cluster.local", "otel"];
    assert_eq!(config.candidates("otel"), full);
    assert_eq!(config.candidates("otel.x."), ["otel.x"]);
    assert_eq!(Config { ndots: 1, ..config }.candidates("a.b")[0], "a.b");
    assert_eq!(Config::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn an_alias_is_followed_and_foreign_records_are_not_taken() {
    let asked = question(7, "a.b", Kind::A).unwrap();
    let alias = vec![1, b'c', 0];
    let records = [
        (&[0xc0, 12][..], 5, alias),
        (&[1, b'c', 0][..], 1, vec![10, 0, 0, 1]),
        (&[1, b'x', 0][..], 1, vec![10, 0, 0, 9]),
    ];
    let bytes = reply(&asked, 0x8180, &records);
    let expected = Answer::Addresses(vec![IpAddr::from([10, 0, 0, 1])]);
    assert_eq!(answer(&bytes, 7, "A.B", Kind::A), Some(expected));
    assert_eq!(answer(&bytes, 8, "a.b", Kind::A), None, "another's id");
    assert_eq!(answer(&bytes, 7, "a.c", Kind::A), None, "another question");
    assert_eq!(answer(&reply(&asked, 0x8183, &[]), 7, "a.b", Kind::A), Some(Answer::NoSuchName));
    assert_eq!(answer(&reply(&asked, 0x8380, &[]), 7, "a.b", Kind::A), Some(Answer::Cut));
    assert_eq!(answer(&reply(&asked, 0x8182, &[]), 7, "a.b", Kind::A), Some(Answer::Failed));
    for bad in ["", "a..b", &"x".repeat(64), &"x.".repeat(130)] {
        assert_eq!(question(1, bad, Kind::A), None, "{bad}");
    }
}

#[test]
fn a_server_is_asked_again_when_a_packet_is_lost() {
    let server = StdUdp::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        for turn in 0.. {
            let (length, from) = server.recv_from(&mut packet).unwrap();
            let asked = &packet[..length];
            let is_a = asked[length - 3] == 1;
            // The first two questions get lost; rubbish comes before each answer.
            if turn >= 2 {
                server.send_to(b"rubbish", from).unwrap();
                let records = if is_a { vec![(&[0xc0, 12][..], 1, vec![10, 1, 2, 3])] } else { vec![] };
                server.send_to(&reply(asked, 0x8180, &records), from).unwrap();
            }
        }
    });
    let found = local(resolve_with("collector.observability", Path::new("/no/hosts"), &config(address)));
    assert_eq!(found, Ok(vec![IpAddr::from([10, 1, 2, 3])]));
}

/// A server that answers every question, for addresses of the first family or the other, as it is told: not, or with flags and
/// addresses.
fn server(of: impl Fn(&[u8], bool) -> Option<(u16, Vec<[u8; 4]>)> + Send + 'static) -> SocketAddr {
    serve(StdUdp::bind("127.0.0.1:0").unwrap(), of)
}

fn serve(server: StdUdp, of: impl Fn(&[u8], bool) -> Option<(u16, Vec<[u8; 4]>)> + Send + 'static) -> SocketAddr {
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut packet) {
            let asked = &packet[..length];
            if let Some((flags, addresses)) = of(asked, asked[length - 3] == 1) {
                let records: Vec<_> =
                    addresses.into_iter().map(|address| (&[0xc0, 12][..], 1, address.to_vec())).collect();
                server.send_to(&reply(asked, flags, &records), from).unwrap();
            }
        }
    });
    address
}

#[test]
fn a_server_that_is_silent_about_one_family_is_heard_about_the_other() {
    let address = server(|_, is_a| is_a.then(|| (0x8180, vec![[10, 1, 2, 3]])));
    let found = local(resolve_with("a.b", Path::new("/no/hosts"), &config(address)));
    assert_eq!(found, Ok(vec![IpAddr::from([10, 1, 2, 3])]));
}

/// glibc goes on with the next domain too (`__res_context_search`, SERVFAIL).
#[test]
fn a_domain_whose_server_fails_hides_no_other() {
    let questions = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&questions);
    let failing = server(move |question, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let fails = question.windows(4).any(|part| part == b"corp");
        Some(if fails { (0x8182, vec![]) } else { (0x8180, vec![[10, 9, 8, 7]]) })
    });
    let search = vec!["corp.example".to_owned()];
    let config = Config { search, ndots: 5, ..config(failing) };
    let began = Instant::now();
    let found = local(resolve_with("c.vendor.test", Path::new("/no/hosts"), &config));
    // No answer was too late for a question, which would have been sent again.
    let in_time = began.elapsed() < Duration::from_millis(200);
    assert_eq!(found.map(|found| found[0]), Ok(IpAddr::from([10, 9, 8, 7])));
    let asked = questions.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked == 6 || (asked > 6 && !in_time), "two rounds of two questions, then the name: {asked}");
    let failing = server(|_, _| Some((0x8185, vec![])));
    let found = local(resolve_with("a.b", Path::new("/no/hosts"), &self::config(failing)));
    assert_eq!(found, Err(Failure::ServersFailed));
}

#[test]
fn both_families_are_read() {
    let asked = question(7, "a.b", Kind::Aaaa).unwrap();
    let address: std::net::Ipv6Addr = "2001:db8::1:2".parse().unwrap();
    let bytes = reply(&asked, 0x8180, &[(&[0xc0, 12][..], 28, address.octets().to_vec())]);
    assert_eq!(answer(&bytes, 7, "a.b", Kind::Aaaa), Some(Answer::Addresses(vec![address.into()])));
}

#[test]
fn an_answer_that_was_cut_is_fetched_over_tcp() {
    use std::io::{Read, Write};
    // The same port of both kinds: the one that the first is given may be taken for the other.
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = StdUdp::bind(listener.local_addr().unwrap()) {
            break (listener, socket);
        }
    };
    let address = serve(socket, |_, is_a| Some((if is_a { 0x8380 } else { 0x8180 }, vec![])));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut length = [0; 2];
            // Whoever could not wait is gone, and asks again.
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut asked = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut asked).unwrap();
            let many: Vec<_> = (0..100).map(|n| (&[0xc0, 12][..], 1, vec![10, 0, 0, n])).collect();
            let answer = reply(&asked, 0x8180, &many);
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &answer].concat());
        }
    });
    let found = local(resolve_with("a.b", Path::new("/no/hosts"), &config(address)));
    assert_eq!(found.map(|found| found.len()), Ok(100));
}

#[test]
fn a_silent_server_costs_no_more_than_its_time() {
    let server = StdUdp::bind("127.0.0.1:0").unwrap();
    let config = Config { timeout: Duration::from_millis(400), ..config(server.local_addr().unwrap()) };
    let found = local(resolve_with("x.y", Path::new("/no/hosts"), &config));
    assert_eq!(found, Err(Failure::NoAnswer));
    let nothing = local(resolve_with("", Path::new("/no/hosts"), &config));
    assert_eq!(nothing, Err(Failure::NotAName));
}

proptest! {
    #[test]
    fn any_packet_is_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in any::<bool>()) {
        let kind = if kind { Kind::A } else { Kind::Aaaa };
        let _ = answer(&bytes, 7, "a.b", kind);
        let asked = question(7, "a.b", kind).unwrap();
        let mut hostile = reply(&asked, 0x8180, &[]);
        hostile[7] = 200;
        hostile.extend(&bytes);
        let _ = answer(&hostile, 7, "a.b", kind);
    }

    #[test]
    fn any_text_is_a_configuration(text in any::<String>(), host in ".{0,300}") {
        let config = Config::parse(&text);
        prop_assert!(!config.servers.is_empty());
        for name in config.candidates(&host) {
            let _ = question(1, &name, Kind::A);
        }
        let _ = hosts::addresses(&text, &host);
    }
}
