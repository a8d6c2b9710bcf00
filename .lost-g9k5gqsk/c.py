
import asyncio,aiohttp,time,json,sys
async def main(seconds):
    t0=time.monotonic(); out=[]
    async with aiohttp.ClientSession() as s:
        async def one(n):
            t=time.monotonic()
            try:
                async with s.post("http://10.0.0.1:8000/v1/completions",json={"model":f"f{n%4}","prompt":[5,6,7],"max_tokens":40,"temperature":0}) as r:
                    b=await r.json(); out.append((round(t-t0,1),round(time.monotonic()-t,2),r.status,(b.get("error") or {}).get("message","")[:60]))
            except Exception as e: out.append((round(t-t0,1),round(time.monotonic()-t,2),-1,repr(e)[:60]))
        tasks=[]
        n=0
        while time.monotonic()-t0<seconds:
            tasks.append(asyncio.create_task(one(n))); n+=1; await asyncio.sleep(0.25)
        await asyncio.gather(*tasks)
    from collections import Counter
    print(Counter(o[2] for o in out)); print("slowest",sorted(out,key=lambda o:-o[1])[:4]); print("bad",[o for o in out if o[2]!=200][:5]); print("after 25s:",Counter(o[2] for o in out if o[0]>25))
asyncio.run(main(float(sys.argv[1])))
