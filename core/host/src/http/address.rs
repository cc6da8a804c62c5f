//! Which addresses are out in the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a plugin may dial the address with a host grant alone: not the machine, not a private network, not what a
/// provider reaches through its own network (IANA special-purpose registries, RFC 6890 and its updates).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b); // carrier-grade NAT, RFC 6598
    let protocol = (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19)); // RFC 6890, benchmarking RFC 2544
    let relay = (a, b, c) == (192, 88, 99); // 6to4 relays, RFC 7526
    let reserved = a == 0 || a >= 240;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || shared
        || protocol
        || relay
        || reserved)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // An IPv4 address in IPv6 clothes is judged as what it is: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    if [s0, s1, s2, s3, s4] == [0; 5] && (s5 == 0 || s5 == 0xffff) {
        return !address.is_loopback() && is_public_v4(v4(s6, s7));
    }
    if [s0, s1] == [0x64, 0xff9b] {
        return [s2, s3, s4, s5] == [0; 4] && is_public_v4(v4(s6, s7));
    }
    if s0 == 0x2002 {
        return is_public_v4(v4(s1, s2));
    }
    let global_unicast = s0 & 0xe000 == 0x2000;
    let documentation = (s0, s1) == (0x2001, 0xdb8) || (s0 == 0x3fff && s1 < 0x1000);
    let protocol = s0 == 0x2001 && s1 < 0x200; // Teredo, ORCHID and the like, RFC 2928
    global_unicast && !documentation && !protocol
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, public: bool) {
        assert_eq!(is_public(address.parse().expect(address)), public, "{address}");
    }

    #[test]
    fn private_loopback_link_local_and_shared_addresses_are_not_public() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.0.192",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            check(address, false);
        }
        for address in
            ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            check(address, true);
        }
    }
}
