//! The columns of `show stat`: the first 103 of `HAProxy` 2.6, in its order, with the tags of each.

use super::super::field::Tags;

const fn column(name: &'static str, letters: &'static str) -> (&'static str, Tags) {
    (name, Tags::new(letters))
}

/// The names and tags of the columns.
pub(super) const COLUMNS: [(&str, Tags); 103] = [
    column("pxname", "KNS"),
    column("svname", "KNS"),
    column("qcur", "MGP"),
    column("qmax", "MMP"),
    column("scur", "MGP"),
    column("smax", "MMP"),
    column("slim", "CLP"),
    column("stot", "MCP"),
    column("bin", "MCP"),
    column("bout", "MCP"),
    column("dreq", "MCP"),
    column("dresp", "MCP"),
    column("ereq", "MCP"),
    column("econ", "MCP"),
    column("eresp", "MCP"),
    column("wretr", "MCP"),
    column("wredis", "MCP"),
    column("status", "SGP"),
    column("weight", "MaP"),
    column("act", "SGP"),
    column("bck", "SGP"),
    column("chkfail", "MCP"),
    column("chkdown", "MCP"),
    column("lastchg", "MAP"),
    column("downtime", "MCP"),
    column("qlimit", "CLS"),
    column("pid", "KGP"),
    column("iid", "KGS"),
    column("sid", "KGS"),
    column("throttle", "MaP"),
    column("lbtot", "MCP"),
    column("tracked", "CGS"),
    column("type", "CGS"),
    column("rate", "MRP"),
    column("rate_lim", "CLP"),
    column("rate_max", "MMP"),
    column("check_status", "MOP"),
    column("check_code", "MOP"),
    column("check_duration", "MDP"),
    column("hrsp_1xx", "MCP"),
    column("hrsp_2xx", "MCP"),
    column("hrsp_3xx", "MCP"),
    column("hrsp_4xx", "MCP"),
    column("hrsp_5xx", "MCP"),
    column("hrsp_other", "MCP"),
    column("hanafail", "MCP"),
    column("req_rate", "MRP"),
    column("req_rate_max", "MMP"),
    column("req_tot", "MCP"),
    column("cli_abrt", "MCP"),
    column("srv_abrt", "MCP"),
    column("comp_in", "MCP"),
    column("comp_out", "MCP"),
    column("comp_byp", "MCP"),
    column("comp_rsp", "MCP"),
    column("lastsess", "MAP"),
    column("last_chk", "MOP"),
    column("last_agt", "MOP"),
    column("qtime", "MaP"),
    column("ctime", "MaP"),
    column("rtime", "MaP"),
    column("ttime", "MaP"),
    column("agent_status", "MOP"),
    column("agent_code", "MOP"),
    column("agent_duration", "MDP"),
    column("check_desc", "MOP"),
    column("agent_desc", "MOP"),
    column("check_rise", "CGS"),
    column("check_fall", "CGS"),
    column("check_health", "CGS"),
    column("agent_rise", "CGS"),
    column("agent_fall", "CGS"),
    column("agent_health", "CGS"),
    column("addr", "CGS"),
    column("cookie", "CGS"),
    column("mode", "CGS"),
    column("algo", "CGS"),
    column("conn_rate", "MRP"),
    column("conn_rate_max", "MMP"),
    column("conn_tot", "MCP"),
    column("intercepted", "MCP"),
    column("dcon", "MCP"),
    column("dses", "MCP"),
    column("wrew", "MCP"),
    column("connect", "MCP"),
    column("reuse", "MCP"),
    column("cache_lookups", "MCP"),
    column("cache_hits", "MCP"),
    column("srv_icur", "MGP"),
    column("src_ilim", "CLP"),
    column("qtime_max", "MMP"),
    column("ctime_max", "MMP"),
    column("rtime_max", "MMP"),
    column("ttime_max", "MMP"),
    column("eint", "MCP"),
    column("idle_conn_cur", "MGP"),
    column("safe_conn_cur", "MGP"),
    column("used_conn_cur", "MGP"),
    column("need_conn_est", "MGP"),
    column("uweight", "MaP"),
    column("agg_server_status", "MGP"),
    column("agg_server_check_status", "MGP"),
    column("agg_check_status", "MGP"),
];

/// Returns the first line of the CSV form.
pub(in crate::admin) fn header() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("# {},\n", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of `HAProxy` 2.6, up to the columns of its optional modules.
    const OF_HAPROXY: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,";

    #[test]
    fn the_columns_have_the_order_of_haproxy() {
        assert_eq!(header().trim_end(), OF_HAPROXY);
    }
}
